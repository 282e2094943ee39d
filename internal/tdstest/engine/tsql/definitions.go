package tsql

// ColumnDef is a column of CREATE TABLE.
type ColumnDef struct {
	Name      string
	Type      TypeName
	Nullable  *bool
	Default   Expr
	DefaultAs string // name of the default's constraint
	Identity  *Identity
	Collation string
	Computed  Expr
}

// Identity is IDENTITY(seed, increment).
type Identity struct{ Seed, Increment int64 }

// Constraint is PRIMARY KEY, UNIQUE, CHECK or FOREIGN KEY.
type Constraint struct {
	Name       string
	Kind       string // "PRIMARY KEY", "UNIQUE", "CHECK" or "FOREIGN KEY"
	Columns    []string
	Check      Expr
	References *Name
	Referenced []string
	Clustered  *bool
}

// CreateTable is CREATE TABLE.
type CreateTable struct {
	Name        Name
	Columns     []ColumnDef
	Constraints []Constraint
}

// CreateIndex is CREATE INDEX.
type CreateIndex struct {
	Name    string
	Table   Name
	Columns []string
	Unique  bool
	Where   Expr
}

// CreateModule is CREATE PROCEDURE or CREATE VIEW. Source is the whole text.
type CreateModule struct {
	Kind       string // "PROCEDURE" or "VIEW"
	Name       Name
	Alter      bool // ALTER, or CREATE OR ALTER with OrCreate
	OrCreate   bool
	Parameters []Parameter
	Columns    []string
	Body       []Node
	Query      *Query
	Source     string
}

// Parameter is a parameter of a procedure or of sp_executesql.
type Parameter struct {
	Name    string
	Type    TypeName
	Default Expr
	Output  bool
}

// CreateDatabase is CREATE DATABASE.
type CreateDatabase struct{ Name, Collation string }

// AlterDatabase is ALTER DATABASE ... SET option. Name is empty for CURRENT.
type AlterDatabase struct {
	Name    string
	Options []DatabaseOption
	// Immediate is WITH ROLLBACK IMMEDIATE, NoWait WITH NO_WAIT.
	Immediate, NoWait bool
}

// DatabaseOption is one option of ALTER DATABASE, in upper case.
type DatabaseOption struct{ Name, Value string }

// CreateSchema is CREATE SCHEMA.
type CreateSchema struct{ Name string }

// Drop is DROP TABLE, VIEW, PROCEDURE, INDEX, DATABASE or SCHEMA.
type Drop struct {
	Kind     string
	IfExists bool
	Names    []Name
	On       Name // of an index
}

// AlterTable is ALTER TABLE with one change.
type AlterTable struct {
	Table          Name
	AddColumns     []ColumnDef
	AddConstraints []Constraint
	DropColumns    []string
	DropConstraint []string
}

// CreateLogin is CREATE LOGIN name WITH PASSWORD = 'x'.
type CreateLogin struct{ Name, Password string }

// Permission is GRANT, DENY or REVOKE of permissions; it is about the server
// or a database, never an object.
type Permission struct {
	Verb        string
	Permissions []string
	Principal   string
}

// CreateUser is CREATE USER name [FOR LOGIN login].
type CreateUser struct{ Name, Login string }
