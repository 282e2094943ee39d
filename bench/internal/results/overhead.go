package results

// Overhead is what the library itself costs, on a database that does nothing
// unless it says otherwise.
type Overhead struct {
	Measured          bool
	JoinedTime        float64 // nanoseconds of an empty Do inside a unit
	JoinedAllocations float64 // of that

	// Allocations of a unit of one statement.
	UnitAllocations, ByHandAllocations float64
	// The same on PostgreSQL.
	UnitAllocationsServed, ByHandAllocationsServed float64
}

func (o Overhead) goals() []Goal {
	const beyond = "allocations of a unit of one statement, beyond those of sqlx by hand, on "
	return []Goal{
		{Text: "nanoseconds of an empty joined Do", Want: 300, AtMost: true, Measured: o.JoinedTime, Missing: !o.Measured},
		{Text: "allocations of an empty joined Do", Want: 3, AtMost: true, Measured: o.JoinedAllocations, Missing: !o.Measured},
		{
			Text: beyond + "a database that does nothing", Want: 6, AtMost: true,
			Measured: o.UnitAllocations - o.ByHandAllocations, Missing: !o.Measured,
		},
		{
			Text: beyond + "PostgreSQL, on the same handle", Want: 6, AtMost: true,
			Measured: o.UnitAllocationsServed - o.ByHandAllocationsServed, Missing: !o.Measured,
		},
	}
}
