package engine

import (
	"strings"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
	"github.com/lockstep-go/lockstep/internal/tdstest/engine/tsql"
)

// serverValue makes a function without arguments.
func serverValue(t Type, f func(x *exec) any) function {
	return function{0, 0, always(t), func(e *env, _ []any) (any, error) { return f(e.x), nil }, false, nil}
}

// caughtValue makes one of the ERROR_ functions, which are NULL outside of
// CATCH.
func caughtValue(t Type, f func(f *failure) any) function {
	return serverValue(t, func(x *exec) any {
		if len(x.caught) == 0 {
			return nil
		}
		return f(x.caught[len(x.caught)-1])
	})
}

func loginName(x *exec) any { return x.s.user.name }

func userName(x *exec) any {
	if x.s.user.all {
		return "dbo"
	}
	return x.s.user.name
}

var serverFunctions = map[string]function{
	"XACT_STATE":             serverValue(typeSmallInt, (*exec).state),
	"ERROR_NUMBER":           caughtValue(typeInt, func(f *failure) any { return int64(f.Number) }),
	"ERROR_MESSAGE":          caughtValue(typeText, func(f *failure) any { return f.Text }),
	"ERROR_STATE":            caughtValue(typeInt, func(f *failure) any { return int64(f.State) }),
	"ERROR_SEVERITY":         caughtValue(typeInt, func(f *failure) any { return int64(f.Class) }),
	"ERROR_LINE":             caughtValue(typeInt, func(f *failure) any { return int64(f.Line) }),
	"ERROR_PROCEDURE":        caughtValue(typeSysName, procedureOf),
	"SUSER_SNAME":            {0, 1, always(typeSysName), func(e *env, _ []any) (any, error) { return loginName(e.x), nil }, true, nil},
	"SUSER_NAME":             {0, 1, always(typeSysName), func(e *env, _ []any) (any, error) { return loginName(e.x), nil }, true, nil},
	"ORIGINAL_LOGIN":         serverValue(typeSysName, loginName),
	"SYSTEM_USER":            serverValue(typeSysName, loginName),
	"USER_NAME":              {0, 1, always(typeSysName), func(e *env, _ []any) (any, error) { return userName(e.x), nil }, true, nil},
	"CURRENT_USER":           serverValue(typeSysName, userName),
	"SESSION_USER":           serverValue(typeSysName, userName),
	"USER":                   serverValue(typeSysName, userName),
	"HOST_NAME":              serverValue(typeSysName, func(x *exec) any { return x.s.login.Host }),
	"APP_NAME":               serverValue(typeSysName, func(x *exec) any { return x.s.login.App }),
	"CONTEXT_INFO":           serverValue(varbinary(128), contextInfo),
	"CURRENT_TRANSACTION_ID": serverValue(typeBigInt, currentTransaction),
	"SCOPE_IDENTITY":         serverValue(Type{Kind: Decimal, Size: 38}, func(x *exec) any { return lastIdentity(x) }),
	"ROWCOUNT_BIG":           serverValue(typeBigInt, func(x *exec) any { return x.s.lastRows }),
	"DB_NAME":                {0, 1, always(typeSysName), dbName, true, []Type{typeBigInt}},
	"DB_ID":                  {0, 1, always(typeSmallInt), dbID, true, []Type{wide}},
	"OBJECT_ID":              {1, 2, always(typeInt), objectID, false, []Type{wide, wide}},
	"OBJECT_NAME":            {1, 2, always(typeSysName), objectName, false, []Type{typeBigInt, typeBigInt}},
	"SCHEMA_NAME":            {0, 1, always(typeSysName), func(*env, []any) (any, error) { return "dbo", nil }, true, nil},
	"SCHEMA_ID":              {0, 1, always(typeInt), schemaID, true, []Type{wide}},
	"COL_LENGTH":             {2, 2, always(typeSmallInt), columnLength, false, []Type{wide, wide}},
	"SERVERPROPERTY":         {1, 1, always(typeVariant), serverProperty, false, []Type{wide}},
	"SESSIONPROPERTY":        {1, 1, always(typeInt), sessionProperty, false, []Type{wide}},
	"DATABASEPROPERTYEX":     {2, 2, always(typeVariant), databaseProperty, false, []Type{wide, wide}},
	"HAS_PERMS_BY_NAME":      {3, 5, always(typeInt), hasPermission, true, nil},
	"IS_SRVROLEMEMBER":       {1, 2, always(typeInt), isMember, true, nil},
	"IS_MEMBER":              {1, 1, always(typeInt), isMember, true, nil},
	"DATALENGTH":             {1, 1, always(typeInt), dataLength, false, nil},
}

func procedureOf(f *failure) any {
	if f.Procedure == "" {
		return nil
	}
	return f.Procedure
}

// state is XACT_STATE().
func (x *exec) state() any {
	switch {
	case x.s.tran == nil:
		return int64(0)
	case x.s.tran.doomed:
		return int64(-1)
	}
	return int64(1)
}

func contextInfo(x *exec) any {
	if x.s.contextInfo == nil {
		return nil
	}
	return x.s.contextInfo
}

// currentTransaction is the id of the transaction around, or of the statement's
// own.
func currentTransaction(x *exec) any {
	switch {
	case x.s.tran != nil:
		return int64(x.s.tran.id)
	case x.cur != nil:
		return int64(x.cur.id)
	}
	return nil
}

func lastIdentity(x *exec) any {
	if n, ok := x.s.identity.(int64); ok {
		return decOf(n)
	}
	return nil
}

func dbName(e *env, a []any) (any, error) {
	if len(a) == 0 {
		return e.x.s.db.name, nil
	}
	for _, d := range e.x.server.everyDatabase() {
		if int64(d.id) == toInt(a[0]) {
			return d.name, nil
		}
	}
	return nil, nil
}

func dbID(e *env, a []any) (any, error) {
	if len(a) == 0 {
		return int64(e.x.s.db.id), nil
	}
	if name, ok := a[0].(string); ok {
		if d := e.x.server.database(name); d != nil {
			return int64(d.id), nil
		}
	}
	return nil, nil
}

func objectID(e *env, a []any) (any, error) {
	n, err := tsql.SplitName(a[0].(string))
	if err != nil {
		return nil, nil
	}
	_, o, err := e.x.lookUp(n)
	if f, ok := err.(*failure); ok && f.Number == 208 || err == nil && o == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(a) > 1 && strings.TrimSpace(strings.ToUpper(a[1].(string))) != objectType(o) {
		return nil, nil
	}
	return o.describe().id, nil
}

// objectType is the type column of sys.objects.
func objectType(o object) string {
	if m, ok := o.(*module); ok {
		if m.definition.Kind == "VIEW" {
			return "V"
		}
		return "P"
	}
	return "U"
}

func objectName(e *env, a []any) (any, error) {
	e.x.server.data.Lock()
	defer e.x.server.data.Unlock()
	for _, o := range e.x.s.db.objects {
		if o.describe().id == a[0].(int64) {
			return o.describe().name, nil
		}
	}
	return nil, nil
}

func schemaID(e *env, a []any) (any, error) {
	name := "dbo"
	if len(a) > 0 {
		name, _ = a[0].(string)
	}
	e.x.server.data.Lock()
	defer e.x.server.data.Unlock()
	if id, ok := e.x.s.db.schemas[foldName(name)]; ok {
		return int64(id), nil
	}
	return nil, nil
}

func columnLength(e *env, a []any) (any, error) {
	n, err := tsql.SplitName(a[0].(string))
	if err != nil {
		return nil, nil
	}
	_, o, err := e.x.lookUp(n)
	if err != nil {
		return nil, err
	}
	if t, ok := o.(*table); ok {
		if i := t.column(a[1].(string)); i >= 0 {
			return storedLength(t.columns[i].typ), nil
		}
	}
	return nil, nil
}

// storedLength is max_length: bytes, -1 for max.
func storedLength(t Type) int64 {
	switch {
	case t.Size == -1:
		return -1
	case t.unicode():
		return int64(2 * t.Size)
	case t.sized():
		return int64(t.Size)
	}
	sizes := map[Kind]int64{Bit: 1, TinyInt: 1, SmallInt: 2, Int: 4, BigInt: 8, Float: 8, Real: 4, Decimal: 9, DateTime: 8,
		DateTime2: 8, DateTimeOffset: 10, Date: 3, Time: 5, UniqueIdentifier: 16}
	return sizes[t.Kind]
}

func dataLength(_ *env, a []any) (any, error) { return int64(len(a[0].([]byte))), nil }

var lockFunctions = map[string]function{
	"APPLOCK_MODE": {3, 3, always(nvarchar(32)), appLockMode, false, []Type{wide, wide, wide}},
	"APPLOCK_TEST": {4, 4, always(typeInt), appLockTest, false, []Type{wide, wide, wide, wide}},
}

// appLockNames are the modes as APPLOCK_MODE names them.
var appLockNames = map[locks.Mode]string{
	locks.None: "NoLock", locks.IS: "IntentShared", locks.S: "Shared", locks.U: "Update", locks.IX: "IntentExclusive",
	locks.SIX: "SharedIntentExclusive", locks.UIX: "UpdateIntentExclusive", locks.X: "Exclusive",
}

func (x *exec) functionOwner(owner, principal, resource string) (*locks.Owner, locks.Resource, error) {
	id, known := x.principal(principal)
	r := appLockResource(x.s.db, id, resource)
	switch {
	case !known:
		return nil, r, fault(1202, "The database principal '%s' does not exist, or user is not a member.", principal)
	case sameName(owner, "session"):
		return x.s.owner, r, nil
	case !sameName(owner, "transaction"):
		return nil, r, fault(1220, "An invalid application lock owner was passed: '%s'.", owner)
	case x.s.tran == nil:
		return nil, r, fault(3918, "The statement or function must be executed in the context of a user transaction.")
	}
	return x.s.tran.owner, r, nil
}

func appLockMode(e *env, a []any) (any, error) {
	o, r, err := e.x.functionOwner(a[2].(string), a[0].(string), a[1].(string))
	if err != nil {
		return nil, err
	}
	return appLockNames[e.x.server.locks.Held(o, r)], nil
}

func appLockTest(e *env, a []any) (any, error) {
	mode, ok := appLockModes[strings.ToLower(a[2].(string))]
	if !ok {
		return nil, fault(1225, "An invalid application lock mode was passed: '%s'.", a[2])
	}
	o, r, err := e.x.functionOwner(a[3].(string), a[0].(string), a[1].(string))
	if err != nil {
		return nil, err
	}
	return btoi(e.x.server.locks.Test(o, r, mode)), nil
}
