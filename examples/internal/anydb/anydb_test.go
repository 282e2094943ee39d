package anydb

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for address, driver := range map[string]string{
		"postgres://127.0.0.1/db":               "pgx",
		"postgresql://127.0.0.1/db":             "pgx",
		filepath.Join(t.TempDir(), "orders.db"): "sqlite",
	} {
		m, err := Open(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := m.DB().DriverName(); got != driver {
			t.Errorf("%s is opened by %s, want %s", address, got, driver)
		}
		if err := m.DB().Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "mysql://u:secret@h/db", "postgres://u:secret@h:port/db", ":memory:"} {
		m, err := Open(address)
		if err == nil {
			m.DB().Close()
			t.Errorf("%q is taken for a database", address)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", address, err)
		}
	}
}
