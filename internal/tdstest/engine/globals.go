package engine

import (
	"hash/fnv"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

func hash32(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum32()
}

// global binds @@NAME.
func (b *binder) global(name string) (bound, error) {
	f, t := globalValue(name)
	if f == nil {
		return bound{}, fault(137, "Must declare the scalar variable \"%s\".", name)
	}
	return bound{typ: t, constant: true, eval: func(e *env) (any, error) { return f(e.x), nil }}, nil
}

func globalValue(name string) (func(x *exec) any, Type) {
	switch name {
	case "@@TRANCOUNT":
		return func(x *exec) any { return int64(x.s.count) }, typeInt
	case "@@ERROR":
		return func(x *exec) any { return int64(x.s.lastError) }, typeInt
	case "@@ROWCOUNT":
		return func(x *exec) any { return x.s.lastRows }, typeInt
	case "@@SPID":
		return func(x *exec) any { return int64(x.s.id) }, typeSmallInt
	case "@@VERSION":
		return func(x *exec) any { return x.server.version }, nvarchar(300)
	case "@@SERVERNAME":
		return func(x *exec) any { return x.server.name }, typeSysName
	case "@@SERVICENAME":
		return func(*exec) any { return "MSSQLSERVER" }, typeSysName
	case "@@LOCK_TIMEOUT":
		return func(x *exec) any { return milliseconds(x.s.options.lockTimeout) }, typeInt
	case "@@OPTIONS":
		return func(x *exec) any { return x.s.options.bits() }, typeInt
	case "@@IDENTITY":
		return lastIdentity, Type{Kind: Decimal, Size: 38}
	case "@@NESTLEVEL":
		return func(x *exec) any { return int64(x.scope.level) }, typeInt
	case "@@MICROSOFTVERSION":
		return func(*exec) any { return int64(16 << 24) }, typeInt
	case "@@LANGUAGE":
		return func(*exec) any { return "us_english" }, typeSysName
	case "@@DATEFIRST":
		return func(*exec) any { return int64(7) }, Type{Kind: TinyInt}
	case "@@MAX_PRECISION":
		return func(*exec) any { return int64(38) }, Type{Kind: TinyInt}
	}
	return nil, Type{}
}

func milliseconds(d time.Duration) any {
	if d == locks.Forever {
		return int64(-1)
	}
	return d.Milliseconds()
}

func serverProperty(e *env, a []any) (any, error) {
	switch strings.ToLower(a[0].(string)) {
	case "productversion":
		return Version, nil
	case "productmajorversion":
		return "16", nil
	case "productminorversion":
		return "0", nil
	case "productlevel":
		return "RTM", nil
	case "edition":
		return "Lockstep simulator, not SQL Server", nil
	case "engineedition":
		return "3", nil
	case "servername", "machinename":
		return e.x.server.name, nil
	case "collation":
		return "SQL_Latin1_General_CP1_CI_AS", nil
	case "ishadrenabled", "isclustered", "issingleuser":
		return "0", nil
	}
	return nil, nil
}

func sessionProperty(e *env, a []any) (any, error) {
	name := strings.ToUpper(a[0].(string))
	if _, known := flagOptions[name]; !known {
		return nil, nil
	}
	return btoi(e.x.s.options.flags[name]), nil
}

func databaseProperty(e *env, a []any) (any, error) {
	d := e.x.server.database(a[0].(string))
	if d == nil {
		return nil, nil
	}
	switch strings.ToLower(a[1].(string)) {
	case "collation":
		return "SQL_Latin1_General_CP1_CI_AS", nil
	case "status":
		return "ONLINE", nil
	case "updateability":
		if d.readOnly.Load() {
			return "READ_ONLY", nil
		}
		return "READ_WRITE", nil
	case "useraccess":
		if d.singleUser.Load() {
			return "SINGLE_USER", nil
		}
		return "MULTI_USER", nil
	}
	return nil, nil
}

// hasPermission is HAS_PERMS_BY_NAME. Permissions on the server are those of
// the login; every login may do everything in a database.
func hasPermission(e *env, a []any) (any, error) {
	class, _ := a[1].(string)
	permission, _ := a[2].(string)
	if a[2] == nil {
		return nil, nil
	}
	p := strings.ToUpper(permission)
	if a[0] == nil && (a[1] == nil || sameName(class, "server")) || p == "VIEW DATABASE STATE" {
		return btoi(e.x.server.may(e.x.s.user, strings.ReplaceAll(p, "VIEW DATABASE STATE", "VIEW SERVER STATE"))), nil
	}
	return int64(1), nil
}

func isMember(e *env, a []any) (any, error) {
	role, _ := a[0].(string)
	switch foldName(role) {
	case "public":
		return int64(1), nil
	case "sysadmin", "db_owner":
		return btoi(e.x.s.user.all), nil
	}
	return int64(0), nil
}
