package servers

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// DefaultMSSQLImage is the Docker image of SQL Server that is run where
// LOCKSTEP_MSSQL_IMAGE names no other.
const DefaultMSSQLImage = "mcr.microsoft.com/mssql/server:2022-latest"

func mssqlTraits() traits {
	return traits{
		envURL: EnvMSSQLURL, envSource: EnvMSSQLSource, envImage: EnvMSSQLImage, envNone: EnvMSSQLNone,
		requirements: []string{RequireMSSQL, RequireMSSQLSimulator},
		image: imageTraits{
			label:  "mssql",
			preset: DefaultMSSQLImage,
			port:   "1433/tcp",
			environment: func(password string) []string {
				return []string{"ACCEPT_EULA=Y", "MSSQL_PID=Developer", "MSSQL_SA_PASSWORD=" + password}
			},
			signal: "TERM",
			url:    func(password, hostPort string) string { return newMSSQLURL("sa", password, hostPort) },
		},
		sources: []source{
			{name: "Docker", start: MSSQLInDocker, fails: []string{RequireMSSQLSimulator}},
			{name: "simulator", start: MSSQLSimulator, fails: []string{RequireMSSQL}, standsIn: true},
		},
		howToGet: "install Docker or set " + EnvMSSQLURL,
		ask:      askMSSQL,
		address:  mssqlAddress,
	}
}

// MSSQLInDocker is [PostgresInDocker] for SQL Server. By running it, whoever
// does accepts the licence of the image, which is Microsoft's.
func MSSQLInDocker(ctx context.Context) (*Server, error) { return inDocker(ctx, MSSQL) }

// newMSSQLURL is the address of a server started here. Encryption is off, so
// that a fault proxy can read what passes.
func newMSSQLURL(user, password, hostPort string) string {
	address := url.URL{
		Scheme:   "sqlserver",
		User:     url.UserPassword(user, password),
		Host:     hostPort,
		RawQuery: "database=master&encrypt=disable",
	}
	return address.String()
}

// mssqlAddress is where the server at url listens.
func mssqlAddress(url string) (string, error) {
	config, err := msdsn.Parse(url)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(config.Host, strconv.FormatUint(cmp.Or(config.Port, 1433), 10)), nil
}

// askMSSQL connects to the server at url once and asks what it is. Servers of
// other makers speak TDS too, and tell.
func askMSSQL(ctx context.Context, url string) (identity, error) {
	db, err := sql.Open("sqlserver", url)
	if err != nil {
		return identity{}, err
	}
	defer db.Close()
	var text string
	err = db.QueryRowContext(ctx, "SELECT @@VERSION").Scan(&text)
	if refusal := (mssql.Error{}); errors.As(err, &refusal) && db.PingContext(ctx) == nil {
		return identity{title: "a TDS server that does not tell its version"}, nil
	}
	return mssqlIdentity(text), err
}

// mssqlIdentity reads what @@VERSION says in its first line, such as
// "Microsoft SQL Server 2022 (RTM-CU12) (KB5033663) - 16.0.4115.5 (X64)".
func mssqlIdentity(text string) identity {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	title, rest, _ := strings.Cut(line, " - ")
	version, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return identity{title: strings.TrimSpace(title), version: version}
}
