package database

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/dialect"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"postgres://host/db":           "postgres",
		"POSTGRESQL://host/db":         "postgres",
		"sqlserver://host?database=db": "mssql",
		"sqlite:/var/lib/app.db":       "sqlite",
		"sqlite:///var/lib/app.db":     "sqlite",
		"file:/var/lib/app.db?mode=rw": "sqlite",
		"/var/lib/locks":               "sqlite",
		"./app":                        "sqlite",
		"app.db":                       "sqlite",
		"my app.sqlite3":               "sqlite",
		"app":                          "",
		"mysql://host/db":              "",
		"host=h password=hush":         "",
		"password=hush.db":             "",
		"server=h;password=hush":       "",
	} {
		d, err := Choose(address)
		if d.ID != want || (err == nil) != (want != "") {
			t.Errorf("%q: product %q, error %v; want %q", address, d.ID, err, want)
		}
		if err != nil && (!errors.Is(err, ErrAddress) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%q: error %v", address, err)
		}
	}
}

func TestAddressesAreToldFromPlaces(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Symlink("missing", filepath.Join(folder, "link.db")); err != nil {
		t.Fatal(err)
	}
	for address, unreadable := range map[string]bool{
		folder + "/a?b.db":                        true,
		"sqlite:" + folder + "/a?b.db":            true,
		"file:" + folder + "/a.db?mode=rw&cash=x": true,
		"file:" + folder + "/%zz.db":              true,
		"postgres://host:port/db":                 true,
		"postgres://host/db?sslmode=verify-full&sslrootcert=" + folder + "/x": false,
		folder + "/missing/a.db":                false,
		folder + "/link.db":                     false,
		"file:" + folder + "/a.db?cache=shared": false,
	} {
		d, err := Choose(address)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = d.Open()
		if err == nil || errors.Is(err, ErrAddress) != unreadable || !unreadable && dialect.KindOf(err) == dialect.Unknown {
			t.Errorf("%s: error %v", address, err)
		}
	}
	d, err := Choose("file:" + folder + "/a%3Fb.db?mode=rwc")
	if err != nil {
		t.Fatal(err)
	}
	m, closing, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	if err := m.DB().PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "a?b.db")); err != nil {
		t.Error(err)
	}
}

func TestSQLiteDSN(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"sqlite:/a/b.db":       "/a/b.db",
		"sqlite:b.db?x=y":      "b.db?x=y",
		"sqlite:///a/b.db":     "file:///a/b.db",
		"file:/a/b.db":         "file:/a/b.db",
		"/a/b.db":              "/a/b.db",
		"sqlite://host/a/b.db": "file://host/a/b.db", // which the dialect refuses
	} {
		if got := sqliteDSN(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func TestDefaultIsTheUsersOwn(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("XDG_STATE_HOME", folder)
	t.Setenv("HOME", t.TempDir())
	address, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if all, err := Recipes("", "a", applock.ModeExclusive); err != nil || len(all) != len(products()) || filepath.Dir(filepath.Dir(all[2].Key)) != filepath.Dir(address) {
		t.Errorf("recipes %+v, error %v", all, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("recipes make %v; error %v", left, err)
	}
	d, err := Choose("")
	if err != nil {
		t.Fatal(err)
	}
	_, closing, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	closing()
	info, err := os.Stat(filepath.Dir(address))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of %s is %v; error %v", address, info, err)
	}
	if d, err := Choose(""); err != nil || d.ID != "sqlite" {
		t.Errorf("the default is %q; error %v", d.ID, err)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	if all, err := Recipes("postgres://host/db", "a", applock.ModeExclusive); err != nil || len(all) != len(products())-1 {
		t.Errorf("recipes without a home: %+v, error %v", all, err)
	}
	if _, err := Recipes("", "a", applock.ModeExclusive); !errors.Is(err, ErrNone) {
		t.Errorf("recipes of no database: error %v", err)
	}
	if _, err := Choose(""); !errors.Is(err, ErrNone) {
		t.Errorf("without a home: error %v", err)
	}
}

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	for address, texts := range map[string][]string{
		"postgres://me:hush@host/db":                 {"hush", "postgres://me:hush@host/db"},
		"postgres://me:hu%2Fsh@host/db":              {"hu/sh", "hu%2Fsh"},
		"postgres://me@host/db?password=hush":        {"hush"},
		"postgres://me@host/db?sslpassword=hu%20sh":  {"hu sh", "hu+sh"},
		"sqlserver://me:hush@host?database=db":       {"hush"},
		"sqlserver://host?user%20id=me&password=hus": {"hus"},
		"postgres://me:hu%sh@host":                   {"postgres://me:hu%sh@host"},
	} {
		if !Secret(address) {
			t.Errorf("%q has no secret", address)
		}
		for _, text := range texts {
			cause := errors.New("cannot use " + text + " there")
			err := Hide(cause, address)
			if err.Error() != "cannot use *** there" || !errors.Is(err, cause) {
				t.Errorf("%q: %v", address, err)
			}
		}
	}
	for _, address := range []string{"postgres://me@host/db", "sqlserver://host", "sqlite:/a/b.db", "/a/b.db", ""} {
		if Secret(address) {
			t.Errorf("%q has a secret", address)
		}
		if err := errors.New("cannot use " + address); Hide(err, address) != err || Hide(nil, address) != nil {
			t.Errorf("%q changes an error", address)
		}
	}
}

func TestRecipes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a'b.db")
	all, err := Recipes(file, "it's", applock.ModeShared)
	if err != nil || len(all) != len(products()) {
		t.Fatalf("%d recipes, error %v", len(all), err)
	}
	for i, parts := range [][]string{
		{"pg_advisory_xact_lock_shared(", "convert_to('it''s','UTF8')"},
		{"N'it''s'", "@LockMode = 'Shared'"},
		{"flock --shared '", `a'\''b.db.locks/`},
	} {
		for _, part := range parts {
			if !strings.Contains(all[i].Code, part) {
				t.Errorf("%q is not in %s", part, all[i].Code)
			}
		}
	}
	if got := transactSQL("a\\\nb"); got != "CAST(0x61005c000a006200 AS nvarchar(255))" {
		t.Errorf("a line break is quoted as %s", got)
	}
}
