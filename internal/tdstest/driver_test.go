package tdstest

import (
	"bytes"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-sql/civil"
	mssql "github.com/microsoft/go-mssqldb"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine"
)

var moment = time.Date(2024, 2, 29, 23, 59, 58, 123456700, time.FixedZone("", 2*60*60))

// samples are a value of every type, and what the driver makes of it.
var samples = []struct {
	name  string
	kind  engine.Type
	value any
	want  any
}{
	{"bit", engine.Type{Kind: engine.Bit}, true, true},
	{"tinyint", engine.Type{Kind: engine.TinyInt}, int64(255), int64(255)},
	{"smallint", engine.Type{Kind: engine.SmallInt}, int64(-32768), int64(-32768)},
	{"int", engine.Type{Kind: engine.Int}, int64(math.MinInt32), int64(math.MinInt32)},
	{"bigint", engine.Type{Kind: engine.BigInt}, int64(math.MinInt64), int64(math.MinInt64)},
	{"float", engine.Type{Kind: engine.Float}, 0.1, 0.1},
	{"real", engine.Type{Kind: engine.Real}, 0.5, 0.5},
	{"decimal", engine.Type{Kind: engine.Decimal, Size: 38, Scale: 4}, "-1234567890123456789012345678901234.5", []byte("-1234567890123456789012345678901234.5000")},
	{"decimal of 9", engine.Type{Kind: engine.Decimal, Size: 9, Scale: 2}, "0.07", []byte("0.07")},
	{"nvarchar", engine.Type{Kind: engine.NVarChar, Size: 10}, "gräf 😀", "gräf 😀"},
	{"nvarchar(max)", engine.Type{Kind: engine.NVarChar, Size: -1}, strings.Repeat("ж", 9000), strings.Repeat("ж", 9000)},
	{"empty nvarchar(max)", engine.Type{Kind: engine.NVarChar, Size: -1}, "", ""},
	{"varchar", engine.Type{Kind: engine.VarChar, Size: 10}, "5 € für", "5 € für"},
	{"varchar(max)", engine.Type{Kind: engine.VarChar, Size: -1}, "x", "x"},
	{"nchar", engine.Type{Kind: engine.NChar, Size: 2}, "a ", "a "},
	{"char", engine.Type{Kind: engine.Char, Size: 2}, "b ", "b "},
	{"varbinary", engine.Type{Kind: engine.VarBinary, Size: 4}, []byte{0, 1}, []byte{0, 1}},
	{"varbinary(max)", engine.Type{Kind: engine.VarBinary, Size: -1}, bytes.Repeat([]byte{7}, 70_000), bytes.Repeat([]byte{7}, 70_000)},
	{"binary", engine.Type{Kind: engine.Binary, Size: 2}, []byte{1, 2}, []byte{1, 2}},
	{"uniqueidentifier", engine.Type{Kind: engine.UniqueIdentifier}, []byte("0123456789abcdef"), []byte("0123456789abcdef")},
	{"date", engine.Type{Kind: engine.Date}, moment, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
	{"time", engine.Type{Kind: engine.Time, Scale: 7}, moment, time.Date(1, 1, 1, 23, 59, 58, 123456700, time.UTC)},
	{"time(2)", engine.Type{Kind: engine.Time, Scale: 2}, moment, time.Date(1, 1, 1, 23, 59, 58, 120000000, time.UTC)},
	{"datetime", engine.Type{Kind: engine.DateTime}, moment, time.Date(2024, 2, 29, 23, 59, 58, 123000000, time.UTC)},
	{"datetime2", engine.Type{Kind: engine.DateTime2, Scale: 7}, moment, time.Date(2024, 2, 29, 23, 59, 58, 123456700, time.UTC)},
	{"datetime2(3)", engine.Type{Kind: engine.DateTime2, Scale: 3}, moment, time.Date(2024, 2, 29, 23, 59, 58, 123000000, time.UTC)},
	{"datetimeoffset", engine.Type{Kind: engine.DateTimeOffset, Scale: 7}, moment, moment},
}

func TestValuesOfEveryType(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"", "&packet+size=512", "&packet+size=32767"} {
		s, _ := startFake(t)
		rows, err := open(t, s, size).QueryContext(testContext(t), "values;")
		if err != nil {
			t.Fatal(err)
		}
		checkRow(t, rows, false)
		if rows.Next() || !rows.NextResultSet() {
			t.Fatal("no second result", rows.Err())
		}
		checkRow(t, rows, false)
		checkRow(t, rows, true)
		if rows.Next() || rows.Err() != nil || rows.Close() != nil {
			t.Error("more rows or an error", rows.Err())
		}
	}
}

func checkRow(t *testing.T, rows *sql.Rows, nulls bool) {
	t.Helper()
	got := make([]any, len(samples))
	targets := make([]any, len(samples))
	for i := range got {
		targets[i] = &got[i]
	}
	if !rows.Next() {
		t.Fatal("no row", rows.Err())
	}
	if err := rows.Scan(targets...); err != nil {
		t.Fatal(err)
	}
	for i, sample := range samples {
		want := sample.want
		if nulls {
			want = nil
		}
		if !same(got[i], want) {
			t.Errorf("%s: got %v, want %v", sample.name, got[i], want)
		}
	}
}

func same(got, want any) bool {
	wantTime, ok := want.(time.Time)
	gotTime, alsoOK := got.(time.Time)
	if ok && alsoOK {
		_, wantOffset := wantTime.Zone()
		_, gotOffset := gotTime.Zone()
		return wantTime.Equal(gotTime) && wantOffset == gotOffset
	}
	return reflect.DeepEqual(got, want)
}

func TestParametersOfEveryType(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	guid := mssql.UniqueIdentifier{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	guidBytes, _ := guid.Value()
	long := strings.Repeat("ж", 9000)
	for _, c := range []struct {
		name      string
		sent, got any
	}{
		{"null", nil, nil},
		{"bool", true, true},
		{"int", -5, int64(-5)},
		{"int8", int8(5), int64(5)},
		{"byte", byte(200), int64(200)},
		{"int16", int16(-5), int64(-5)},
		{"int32", int32(-5), int64(-5)},
		{"int64", int64(math.MaxInt64), int64(math.MaxInt64)},
		{"null int64", sql.NullInt64{}, nil},
		{"float32", float32(0.5), 0.5},
		{"float64", 0.1, 0.1},
		{"null float64", sql.NullFloat64{}, nil},
		{"null bool", sql.NullBool{}, nil},
		{"string", "gräf 😀", "gräf 😀"},
		{"empty string", "", ""},
		{"long string", long, long},
		{"null string", sql.NullString{}, nil},
		{"varchar", mssql.VarChar("abc"), "abc"},
		{"varchar(max)", mssql.VarCharMax("abc"), "abc"},
		{"nvarchar(max)", mssql.NVarCharMax("ж"), "ж"},
		{"nchar", mssql.NChar("ж"), "ж"},
		{"bytes", []byte{1, 2}, []byte{1, 2}},
		{"empty bytes", []byte{}, []byte{}},
		{"long bytes", bytes.Repeat([]byte{7}, 10_000), bytes.Repeat([]byte{7}, 10_000)},
		{"time", moment, moment},
		{"null time", sql.NullTime{}, nil},
		{"datetime", mssql.DateTime1(moment), time.Date(2024, 2, 29, 23, 59, 58, 123000000, time.UTC)},
		{"datetimeoffset", mssql.DateTimeOffset(moment), moment},
		{"date", civil.Date{Year: 2024, Month: 2, Day: 29}, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"datetime2", civil.DateTimeOf(moment), time.Date(2024, 2, 29, 23, 59, 58, 123456700, time.UTC)},
		{"time of day", civil.TimeOf(moment), time.Date(1, 1, 1, 23, 59, 58, 123456700, time.UTC)},
		{"guid", guid, guidBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got any
			if err := db.QueryRowContext(testContext(t), "echo", c.sent).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if !same(got, c.got) {
				t.Errorf("got %#v, want %#v", got, c.got)
			}
		})
	}
}

func TestProcedureWithOutputAndStatus(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	var status mssql.ReturnStatus
	number, text, when := int64(12), "abc", moment
	_, err := db.ExecContext(testContext(t), "sp_getapplock", sql.Named("Resource", "r'"), &status,
		sql.Named("number", sql.Out{Dest: &number}), sql.Named("text", sql.Out{Dest: &text}), sql.Named("when", sql.Out{Dest: &when}))
	if err != nil {
		t.Fatal(err)
	}
	if status != 7 || number != 12 || text != "abc" || !when.Equal(moment) {
		t.Error(status, number, text, when)
	}
	r := s.Requests()[0]
	if r.Kind != KindRPC || r.Procedure != "sp_getapplock" || r.Params[0].Name != "@Resource" || r.Params[0].Value != "r'" || !r.Params[1].Output {
		t.Errorf("%+v", r)
	}
}

func TestManyRowsInManyPackets(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	for _, size := range []string{"&packet+size=512", ""} {
		rows, err := open(t, s, size).QueryContext(testContext(t), "many;")
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for ; rows.Next(); count++ {
			var n int
			var text string
			if err := rows.Scan(&n, &text); err != nil || n != count || len(text) != n%41 {
				t.Fatal(err, n, count)
			}
		}
		if count != 5000 || rows.Err() != nil {
			t.Error(count, rows.Err())
		}
	}
}

func TestLongBatchInManyPackets(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	long := "select '" + strings.Repeat("x", 100_000) + "'"
	mustExec(t, open(t, s, "&packet+size=512"), long)
	if got := s.Requests()[0].Text; got != long {
		t.Errorf("%d characters arrived", len(got))
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "&app+name=shop&workstation+id=desk&ApplicationIntent=ReadOnly")
	if err := db.PingContext(testContext(t)); err != nil {
		t.Fatal(err)
	}
	want := engine.Login{User: "sa", Password: "secret", Host: "desk", App: "shop", Library: "go-mssqldb", Database: "shop", ReadOnlyIntent: true}
	if b.logins[0] != want {
		t.Errorf("got %+v", b.logins[0])
	}
	if c := s.Connections(); len(c) != 1 || c[0].Session != 51 || c[0].RoundTrips != 1 || !c[0].Open {
		t.Errorf("%+v", c)
	}
}

func TestLoginErrors(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	for _, c := range []struct {
		password, database string
		number             int32
	}{{"wrong", "shop", 18456}, {"secret", "nowhere", 4060}} {
		db, err := sql.Open("sqlserver", s.URL("sa", c.password, c.database))
		if err != nil {
			t.Fatal(err)
		}
		var e mssql.Error
		if err := db.PingContext(testContext(t)); !errors.As(err, &e) || e.Number != c.number {
			t.Errorf("got %v, want %d", err, c.number)
		}
		_ = db.Close()
	}
	eventually(t, "both connections end", func() bool {
		for _, c := range s.Connections() {
			if c.Open {
				return false
			}
		}
		return b.open() == 0
	})
}

func TestTransactionsAtEveryIsolation(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	db := open(t, s, "")
	for level, want := range map[sql.IsolationLevel]int{
		sql.LevelDefault: 0, sql.LevelReadUncommitted: 1, sql.LevelReadCommitted: 2,
		sql.LevelRepeatableRead: 3, sql.LevelSerializable: 4, sql.LevelSnapshot: 5,
	} {
		tx, err := db.BeginTx(testContext(t), &sql.TxOptions{Isolation: level})
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := tx.QueryRowContext(testContext(t), "isolation;").Scan(&got); err != nil || got != want {
			t.Errorf("%v: got %d, %v", level, got, err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
	tx, err := db.BeginTx(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if got := s.RoundTrips(); got != 6*3+2 {
		t.Errorf("%d round trips", got)
	}
}

func TestConcurrentConnections(t *testing.T) {
	t.Parallel()
	s, b := startFake(t)
	db := open(t, s, "")
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 10 {
				tx, err := db.BeginTx(testContext(t), &sql.TxOptions{Isolation: sql.LevelSerializable})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := tx.ExecContext(testContext(t), "echo", 1, "two"); err != nil {
					t.Error(err)
				}
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := s.RoundTrips(); got != 16*10*3 {
		t.Errorf("%d round trips", got)
	}
	_ = db.Close()
	eventually(t, "every session ends", func() bool { return b.open() == 0 })
}

func TestDatabaseChange(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	mustExec(t, open(t, s, ""), "use other")
}

func TestEngineMistakeIsAnError(t *testing.T) {
	t.Parallel()
	s, _ := startFake(t)
	var e mssql.Error
	if _, err := open(t, s, "").ExecContext(testContext(t), "mistake;"); !errors.As(err, &e) || e.Number != 50000 {
		t.Errorf("got %v", err)
	}
}
