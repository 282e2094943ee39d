package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect/sqlite"
	"github.com/lockstep-go/lockstep/uow"
)

// From a file's name to a unit of work under a lock.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	db, err := sqlite.Open(filepath.Join(dir, "app.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	m := uow.New(db, sqlite.Dialect())
	lock := applock.Exclusive("tenant:42").NoWait()
	err = m.Do(context.Background(), func(ctx context.Context, u *uow.UnitOfWork) error {
		_, err := u.ExecContext(ctx, "create table measurement (id int primary key, celsius real not null)")
		return err
	}, applock.With(lock), uow.Label("set up"))
	fmt.Println(err)
	// Output: <nil>
}

// A script takes the same lock as applock.Exclusive("tenant:42") with flock(1).
func ExampleLockFile() {
	file := sqlite.LockFile("app.db", "tenant:42")
	dir, name := filepath.Split(file)
	fmt.Println(filepath.Base(dir))
	fmt.Println(name)
	// Output:
	// app.db.locks
	// 4b5d4625d71bf87fe91c295af8dc728f12322e062fef76e3849661387d63ada1
}
