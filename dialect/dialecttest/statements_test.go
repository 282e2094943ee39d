package dialecttest

import (
	"github.com/jmoiron/sqlx"

	"github.com/lockstep-go/lockstep/uow"
)

// Units and scopes stand in wherever these are asked for.
var (
	_ dbtx                 = (*uow.UnitOfWork)(nil)
	_ dbtx                 = (*uow.Scope)(nil)
	_ sqlx.ExtContext      = (*uow.UnitOfWork)(nil)
	_ sqlx.ExtContext      = (*uow.Scope)(nil)
	_ sqlx.PreparerContext = (*uow.UnitOfWork)(nil)
)
