package engine_test

import (
	"strings"
	"testing"
)

// TestExpressions computes one expression or more; an error is its number.
func TestExpressions(t *testing.T) {
	_, c := one(t)
	for sql, want := range map[string]string{
		"1 + 2 * 3, (1 + 2) * 3, 7 / 2, 7 % 3, -7 / 2, -5, ~5, 5 & 4, 5 | 2, 5 ^ 1": "7|9|3|1|-3|-5|-6|4|7|4",
		"1.5 + 1, 1.0 / 3, 2.50 * 2, cast(1.005 as decimal(5, 2)), -1.5":            "2.5|0.333333|5.00|1.01|-1.5",
		"1e0 / 4, cast('1.5' as float), cast(0.1 as float) + 0.2":                   "0.25|1.5|0.30000000000000004",
		"2147483647 + 1": "error 8115", "cast(2147483647 as bigint) + 1": "2147483648", "2147483648": "2147483648",
		"cast(300 as tinyint)": "error 220", "cast('300' as tinyint)": "error 248", "1 / 0": "error 8134",
		"'a' + N'b' + 'c', 'a' + null, 'it''s', N'😀', concat('a', null, 1, N'x')": "abc|NULL|it's|😀|a1x",
		"'1' + 1, 'x' + cast(1 as varchar(3))":                                    "2|x1",
		"'x' + 1":                                                                 "error 245", "cast('x' as int)": "error 245", "cast('x' as decimal(3,1))": "error 8114", "cast('x' as datetime2)": "error 241",
		"try_cast('x' as int), try_convert(int, '12'), convert(bit, 'true'), cast(2 as bit)":                                                                                                                   "NULL|12|true|true",
		"convert(varbinary(8), 258), convert(varbinary(8), N'aé'), convert(varbinary(4), 'ab'), 0xABC":                                                                                                         "0x00000102|0x6100E900|0x6162|0x0ABC",
		"convert(varbinary(8), '0x0102', 1), convert(varbinary(8), '0102', 2), convert(varchar(10), 0x0A0B, 1), convert(varchar(10), 0x0A0B, 2)":                                                               "0x0102|0x0102|0x0A0B|0A0B",
		"cast(0x0102 as int), cast(0xFFFFFFFF as int), cast(cast(-2 as bigint) as varbinary(8)), cast(0x6100 as nvarchar(5))":                                                                                  "258|-1|0xFFFFFFFFFFFFFFFE|a",
		"cast('abc' as varchar(2)), cast('abc' as char(5)) + '|', cast(12345 as varchar(3))":                                                                                                                   "error 8115",
		"cast('abc' as varchar(2)), cast('abc' as char(5)) + '|', cast(123 as varchar(3))":                                                                                                                     "ab|abc  ||123",
		"len('ab '), datalength(N'ab '), datalength('ab '), datalength(1), len(N'😀'), datalength(cast(1 as bigint))":                                                                                           "2|6|3|4|2|8",
		"left('abc', 2), right('abc', 2), substring('abcd', 2, 2), substring(0x010203, 2, 5), substring('abc', 0, 2)":                                                                                          "ab|bc|bc|0x0203|a",
		"charindex('B', 'abc'), charindex('x', 'abc'), charindex('a', 'aba', 2), replace('aXbx', 'x', '-')":                                                                                                    "2|0|3|a-b-",
		"upper('aé'), lower('AÉ'), ltrim('  a '), rtrim(' a  '), trim(' a '), reverse('abc'), replicate('ab', 2)":                                                                                              "AÉ|aé|a | a|a|cba|abab",
		"char(65), nchar(233), ascii('A'), unicode(N'é'), quotename('a]b'), quotename('a''b', ''''), stuff('abcd', 2, 2, 'X'), '[' + space(2) + ']'":                                                           "A|é|65|233|[a]]b]|'a''b'|aXd|[  ]",
		"hashbytes('SHA2_256', N'a'), hashbytes('md5', 'a')":                                                                                                                                                   "0xFFE9AAEAA2A2D5048174DF0B80599EF0197EC024C4B051BC9860CFF58EF7F9F3|0x0CC175B9C0F1B6A831C399E269772661",
		"abs(-3), abs(-1.5), sign(-2), floor(1.5), ceiling(1.2), round(1.25, 1), power(2, 3), sqrt(9)":                                                                                                         "3|1.5|-1|1|2|1.3|8|3",
		"isnull(null, 1), isnull('ab', 'c'), coalesce(null, null, 3), nullif(1, 1), nullif(1, 2), iif(1 = 1, 'y', 'n'), iif(null = 1, 'y', 'n')":                                                               "1|ab|3|NULL|1|y|n",
		"case when 1 = 2 then 1 when 2 = 2 then 2 end, case 'a' when 'A' then 1 else 2 end, case when null = 1 then 1 end":                                                                                     "2|1|NULL",
		"iif('a' = 'A ', 1, 0), iif('a' = 'A' collate Latin1_General_BIN2, 1, 0), iif('a' < 'B', 1, 0)":                                                                                                        "1|0|1",
		"iif('abc' like 'A%', 1, 0), iif('abc' like '_b_', 1, 0), iif('a%' like 'a!%' escape '!', 1, 0), iif('abc' like '[a-c]b[^d]', 1, 0), iif('abc' not like '%d%', 1, 0)":                                  "1|1|1|1|1",
		"iif(2 between 1 and 3, 1, 0), iif(2 not between 1 and 3, 1, 0), iif(2 in (1, 2), 1, 0), iif(2 not in (1, null), 1, 0), iif(null is null, 1, 0)":                                                       "1|0|1|0|1",
		"dateadd(day, 1, cast('2024-02-28' as datetime2(0))), dateadd(month, 1, cast('2024-01-31' as date)), dateadd(ms, 5, cast('2024-01-01' as datetime2(3)))":                                               "2024-02-29 00:00:00|2024-02-29 00:00:00|2024-01-01 00:00:00.005",
		"datediff(day, '2024-01-01', '2024-03-01'), datediff(year, '2023-12-31', '2024-01-01'), datediff(second, '2024-01-01', '2024-01-01T00:01:00'), datediff_big(ms, '2024-01-01', '2024-01-02')":           "60|1|60|86400000",
		"convert(varchar(30), cast('2024-01-02 03:04:05.678' as datetime2(3))), convert(varchar(30), cast('2024-01-02 03:04:05.678' as datetime2(3)), 126), convert(char(8), cast('2024-01-02' as date), 112)": "2024-01-02 03:04:05.678|2024-01-02T03:04:05.678|20240102",
		"cast(cast('2024-01-02 03:04:05.678' as datetime2(7)) as datetime), year('2024-05-06'), month('2024-05-06'), day('2024-05-06'), datepart(hour, '2024-05-06 07:08')":                                    "2024-01-02 03:04:05.677|2024|5|6|7",
		"cast('6F9619FF-8B86-D011-B42D-00C04FC964FF' as uniqueidentifier), convert(varchar(36), cast('6f9619ff-8b86-d011-b42d-00c04fc964ff' as uniqueidentifier))":                                             "0xFF19966F868B11D0B42D00C04FC964FF|6F9619FF-8B86-D011-B42D-00C04FC964FF",
		"db_name(), db_id('master'), db_name(1), suser_sname(), original_login(), user_name(), host_name(), app_name(), schema_id('dbo')":                                                                      "d|1|master|sa|sa|dbo|h|a|1",
		"serverproperty('ProductMajorVersion'), serverproperty('none'), sessionproperty('ANSI_NULLS'), @@language, @@nestlevel":                                                                                "16|NULL|1|us_english|0",
		"iif(object_id('item') > 0, 1, 0), object_id('nothing'), object_id('dbo.item', 'V'), col_length('item', 'n'), object_name(object_id('item'))":                                                          "1|NULL|NULL|4|item",
		"/* a /* nested */ comment */ 1 -- and another":                 "1",
		"(select max(n) from item), (select n from item where id = 99)": "20|NULL", "(select n from item)": "error 512",
		"nosuch(1)": "error 195", "len()": "error 174", "@nosuch": "error 137", "dbo.f(1)": "error 4121", "1 = 1": "error 102",
	} {
		got := values(c.run("select " + sql))
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
}

// TestQueries runs queries over item (1,10), (2,20) and tag.
func TestQueries(t *testing.T) {
	_, c := one(t)
	c.ok(`create table tag (item int not null references item (id), name nvarchar(20) collate Latin1_General_BIN2, primary key (item, name));
		insert tag values (1, N'red'), (1, N'blue'), (2, N'red')`)
	for sql, want := range map[string]string{
		"select id from item order by n desc":                                  "2 1",
		"select id as x from item order by x desc":                             "2 1",
		"select top 1 id from item order by 1 desc":                            "2",
		"select id from item order by id offset 1 rows fetch next 1 rows only": "2",
		"select distinct name from tag order by name":                          "blue red",
		"select name, count(*), min(item), string_agg(cast(item as varchar(5)), ',') from tag group by name having count(*) > 1":             "red|2|1|1,2",
		"select count(*), count(distinct name), sum(item), avg(item * 1.0), max(name) from tag":                                              "3|2|4|1.333333|red",
		"select sum(n), count(*) from item where id > 99":                                                                                    "NULL|0",
		"select i.id, t.name from item i left join tag t on t.item = i.id and t.name = N'blue' order by i.id":                                "1|blue 2|NULL",
		"select i.id from tag t right join item i on i.id = t.item and t.name = N'blue' where t.item is null":                                "2",
		"select a.id, b.id from item a cross join item b where a.id < b.id":                                                                  "1|2",
		"select id from item i where exists (select * from tag t where t.item = i.id and t.name = N'blue')":                                  "1",
		"select id from item where id in (select item from tag where name = 'blue')":                                                         "1",
		"select id from item where id not in (select item from tag where name = 'blue')":                                                     "2",
		"select name from tag where name = N'RED'":                                                                                           "",
		"select d.n from (select id, n + 1 as n from item) d where d.id = 2":                                                                 "21",
		"select v.a, v.b from (values (1, 'x'), (2, 'y')) v(a, b) where v.a > 1":                                                             "2|y",
		"select i.id, x.c from item i cross apply (select count(*) as c from tag t where t.item = i.id) x":                                   "1|2 2|1",
		"select value from string_split('a,b', ',')":                                                                                         "a b",
		"select 1 union select 1 union all select 2":                                                                                         "1 2",
		"select id from item except select 1":                                                                                                "2",
		"select id from item intersect select 1":                                                                                             "1",
		"with a as (select id from item), b (x) as (select id + 1 from a) select x from b order by x desc":                                   "3 2",
		"select * from dbo.item where id = 1":                                                                                                "1|10",
		"select i.* from d.dbo.item as i where id = 1":                                                                                       "1|10",
		"select [id], \"n\" from [item] where [id] = 1":                                                                                      "1|10",
		"declare @a int, @b int = 5; select @a = n, @b += 1 from item where id = 1; select @a, @b":                                           "10|6",
		"declare @i int = 0; while 1 = 1 begin set @i += 1; if @i = 2 continue; if @i > 3 break; end select @i":                              "4",
		"declare @i int = 0; again: set @i = @i + 1; if @i < 3 goto again; select @i":                                                        "3",
		"declare @t table (a int primary key, b nvarchar(5)); insert @t (a) output inserted.a values (1); select a, b from @t":               "1 1|NULL",
		"create table #t (a int); insert #t select id from item; select count(*) from #t; drop table #t":                                     "2",
		"update item set n += 1, id = id where id = 1; select n from item where id = 1":                                                      "11",
		"update i set n = t.c from item i join (select item, count(*) c from tag group by item) t on t.item = i.id; select n from item":      "2 1",
		"delete t from tag t join item i on i.id = t.item where i.id = 2; select count(*) from tag":                                          "2",
		"delete from tag output deleted.name where name = N'blue'":                                                                           "blue",
		"truncate table tag; select count(*) from tag":                                                                                       "0",
		"select name from sys.databases where database_id = db_id()":                                                                         "d",
		"select t.name, c.name from sys.tables t join sys.columns c on c.object_id = t.object_id where t.name = 'item' order by c.column_id": "item|id item|n",
		"select table_name from information_schema.tables where table_name = 'tag'":                                                          "tag",
		"select is_primary_key from sys.indexes where object_id = object_id('tag')":                                                          "true",
		"select nosuch from item": "error 207", "select x.id from item": "error 4104", "select id from item, tag, item i": "error 209",
		"select id, count(*) from item": "error 8120", "select id from item where count(*) > 1": "error 147",
		"insert tag values (9, N'x')": "error 547", "delete item": "error 547", "insert item values (1)": "error 213",
		"insert item (id) values (1, 2)": "error 110", "insert item (id, nosuch) values (1, 2)": "error 207",
		"select * from item i full join tag t on 1 = 1": "error 102", "merge item using tag on 1 = 1": "error 102",
		"select 1 where 1": "error 4145", "print 'x'; select 1": "1", "select": "error 102",
	} {
		c.ok("begin tran")
		if got := values(c.run(sql)); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
		c.run("if @@trancount > 0 rollback")
	}
}

// TestDefinitions runs batches of DDL on one database, in order.
func TestDefinitions(t *testing.T) {
	_, c := one(t)
	for _, b := range []struct{ sql, want string }{
		{"create table item (a int)", "error 2714"},
		{"create table x (a int, a int)", "error 2705"},
		{"create table x (a nosuch)", "error 2715"},
		{"create table s.x (a int)", "error 2760"},
		{"create schema s", ""},
		{"create table s.x (a int primary key, b int not null default 7, c as nvarchar(5))", "error 102"},
		{"create table s.x (a int identity(5, 2) primary key, b int not null constraint df default 7, c nvarchar(5) null unique, check (b > 0))", ""},
		{"insert s.x (c) values (N'a'), (N'b'); insert s.x default values; select * from s.x", "row 5|7|a row 7|7|b row 9|7|NULL"},
		{"select scope_identity(), @@identity", "row 9|9"},
		{"insert s.x (b) values (-1)", "error 547 info 3621"},
		{"insert s.x (a) values (1)", "error 544 info 3621"},
		{"insert s.x (c) values (N'a')", "error 2627 info 3621"},
		{"update s.x set c = N'a' where a = 7", "error 2627 info 3621"},
		{"alter table s.x add d int null, e int not null default 3", ""},
		{"select a, d, e from s.x where a = 5", "row 5|NULL|3"},
		{"alter table s.x drop constraint df", ""},
		{"insert s.x (c) values (N'z')", "error 515 info 3621"},
		{"create unique index u on s.x (e)", "error 1505"},
		{"create index i on s.x (e) include (b)", ""},
		{"create index i on s.x (b)", "error 1913"},
		{"drop index i on s.x; drop index i on s.x", "error 3701"},
		{"create unique index f on s.x (e) where c is null", ""},
		{"begin tran; drop table s.x; rollback; select count(*) from s.x", "began rolled back row 3"},
		{"drop schema s", "error 3729"},
		{"drop table s.x; drop table if exists s.x; drop schema s; drop table s.x", "error 3701"},
		{"create view v as select id, n * 2 as twice from item", ""},
		{"select twice from v where id = 2", "row 40"},
		{"create procedure p @a int, @b int = 2, @out int output as begin set @out = @a + @b; select @a, @b; return 7 end", ""},
		{"declare @o int, @r int; exec @r = p 1, @out = @o output; select @o, @r", "row 1|2 status 7 row 3|7"},
		{"exec p", "error 201"},
		{"exec p 1, 2, 3, 4", "error 8144"},
		{"exec p 1, @c = 2, @out = 3", "error 8145"},
		{"create or alter procedure p as throw 50005, 'no', 3", ""},
		{"begin try exec p end try begin catch select error_procedure(), error_number(), error_state() end catch", "row p|50005|3"},
		{"alter procedure nosuch as select 1", "error 208"},
		{"select 1; create view w as select 1 as a", "error 111"},
		{"drop procedure p; drop view v; exec p 1", "error 2812"},
		{"create login l with password = 'x'; grant view server state to l; create user l for login l", ""},
		{"create login l with password = 'x'", "error 15025"},
		{"set nosuch on", "error 195"},
		{"declare @s nvarchar(50) = N'select @x + 1', @o int; exec sp_executesql @s, N'@x int', @x = 4; exec sp_executesql N'set @y = 9', N'@y int output', @y = @o output; select @o",
			"row 5 status 0 status 0 row 9"},
		{"exec sp_executesql N'select @x', N'@x int'", "error 8178"},
		{"exec ('select 1' + '; select 2')", "row 1 row 2"},
		{"raiserror('%s is %d', 16, 1, 'x', 5)", "error 50000"},
		{"raiserror('x', 10, 1); print 'y'", "info 50000 info 0"},
		{"waitfor delay '00:00:00.001'; waitfor delay 'soon'", "error 148"},
	} {
		if got := c.run(b.sql).told(); got != b.want {
			t.Errorf("%s\n got %s\nwant %s", b.sql, got, b.want)
		}
		c.run("if @@trancount > 0 rollback")
	}
}

// TestUnknown has SQL that the server knows and the simulator refuses, naming
// it.
func TestUnknown(t *testing.T) {
	_, c := one(t)
	for _, sql := range []string{
		"select row_number() over (order by id) from item", "select id into x from item", "declare c cursor for select 1",
		"select * from item for xml auto", "create trigger x on item after insert as select 1",
	} {
		r := c.run(sql)
		if got := r.only("error"); !strings.HasPrefix(got, "102") {
			t.Errorf("%s: %s", sql, got)
		}
	}
}
