// Package servers finds or starts the database servers that Lockstep's tests
// and demonstration run against. It is the only package of this module that
// imports dockertest, and nothing but tests, examples and the commands under
// integration/cmd may import it.
//
// [Find] looks for a PostgreSQL server in this order and takes the first that
// answers:
//
//  1. the server LOCKSTEP_POSTGRES_URL names;
//  2. a container, through a Docker engine on this machine, of the image
//     LOCKSTEP_POSTGRES_IMAGE names (default [DefaultPostgresImage]);
//  3. a throwaway cluster made with the PostgreSQL binaries installed on this
//     machine.
//
// And for SQL Server:
//
//  1. the server LOCKSTEP_MSSQL_URL names, which may be of another maker;
//  2. a container, of the image LOCKSTEP_MSSQL_IMAGE names (default
//     [DefaultMSSQLImage]);
//  3. the simulator of internal/tdstest, in this process. [Server.String] then
//     says that it is not SQL Server, and a line on standard error says why.
//
// What is started here listens on 127.0.0.1 alone, asks for a random password
// wherever the server can check one, and ends with this process, however this
// process ends. Settings trade durability for speed: no data survives.
//
// # Environment
//
// For each of POSTGRES and MSSQL:
//
//   - LOCKSTEP_POSTGRES_URL: a server to use as it is. A server it names that
//     does not answer is an error; no other is then looked for.
//   - LOCKSTEP_POSTGRES_SOURCE: where that server came from, in words, for the
//     line that tests print. Set by integration/cmd/with-servers.
//   - LOCKSTEP_POSTGRES_IMAGE: a Docker image, as name:tag.
//   - LOCKSTEP_POSTGRES_NONE: a reason why there is no server; it ends the
//     search at once. Set by integration/cmd/with-servers, so that each test
//     program need not repeat a search that failed.
//
// And for all:
//
//   - LOCKSTEP_REQUIRE: what must not be missing, comma separated: postgres,
//     docker, pgbouncer, and mssql or mssql-simulator. See [Require].
package servers
