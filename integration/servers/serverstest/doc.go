// Package serverstest gives a package's tests a database server. The package
// finds it once, in its TestMain, here PostgreSQL's:
//
//	func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }
//
// and each test takes a database of its own, which is gone when the test ends:
//
//	db, err := postgres.Open(serverstest.PostgresDatabase(t))
//
// Where no server is to be had, tests that ask for one are skipped, with the
// reason; where LOCKSTEP_REQUIRE names it, they fail. What Main found is kept
// in the environment of the test process, so that programs which tests start
// find the same server there.
package serverstest
