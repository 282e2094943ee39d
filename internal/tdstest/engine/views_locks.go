package engine

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstep-go/lockstep/internal/tdstest/engine/locks"
)

func lockColumns() []viewColumn {
	return columnsText(`resource_type nvarchar(60), resource_subtype nvarchar(60), resource_database_id int, resource_description nvarchar(256),
		resource_associated_entity_id bigint, resource_lock_partition int, request_mode nvarchar(60), request_type nvarchar(60),
		request_status nvarchar(60), request_reference_count smallint, request_lifetime int, request_session_id int, request_exec_context_id int,
		request_request_id int, request_owner_type nvarchar(60), request_owner_id bigint, request_owner_guid uniqueidentifier,
		lock_owner_address varbinary(8)`)
}

func lockRows(x *exec) [][]any {
	var rows [][]any
	for _, s := range x.server.everySession() {
		if seen := s.seen.Load(); seen != nil {
			rows = append(rows, lockRow(locks.Info{
				Resource: locks.Resource{Kind: locks.Database, Database: seen.db.id}, Owner: s.owner, Mode: locks.S, Count: 1}))
		}
	}
	for _, i := range x.server.locks.View() {
		rows = append(rows, lockRow(i))
	}
	return rows
}

func lockRow(i locks.Info) []any {
	owner, ownerID := "TRANSACTION", int64(i.Owner.ID)
	if i.Owner.Shared {
		owner, ownerID = "SESSION", 0
		if i.Resource.Kind == locks.Database {
			owner = "SHARED_TRANSACTION_WORKSPACE"
		}
	}
	entity := i.Resource.Object
	if i.Resource.Kind == locks.Application {
		entity = 0
	}
	return []any{i.Resource.Kind.String(), "", int64(i.Resource.Database), describe(i.Resource), entity, int64(0), i.Mode.String(), "LOCK",
		i.Status.String(), int64(i.Count), int64(0), int64(i.Owner.Session), int64(0), int64(0), owner, ownerID, make([]byte, 16), address(i)}
}

// describe is resource_description. That of an application lock shows the
// first 32 characters of its name and a hash of all of it.
func describe(r locks.Resource) string {
	switch r.Kind {
	case locks.Application:
		name := fromUTF16([]byte(r.Key[:min(len(r.Key), 64)]))
		return fmt.Sprintf("%d:[%s]:(%08x)", r.Object, name, hash32(r.Key))
	case locks.Key:
		return fmt.Sprintf("(%08x%04x)", hash32(r.Key), hash32("#"+r.Key)&0xFFFF)
	case locks.Row:
		return "1:" + r.Key
	case locks.Metadata:
		return r.Key
	}
	return ""
}

// address tells requests apart; a request that waits has it in common with the
// waiting task.
func address(i locks.Info) []byte {
	n := uint64(hash32(fmt.Sprint(i.Resource, i.Mode)))<<24 ^ i.Owner.ID
	return binary.BigEndian.AppendUint64(nil, n)
}

// waits returns the requests that wait.
func waits(x *exec) []locks.Info {
	var all []locks.Info
	for _, i := range x.server.locks.View() {
		if i.Status != locks.Grant {
			all = append(all, i)
		}
	}
	return all
}

func waitingRows(x *exec) [][]any {
	var rows [][]any
	for _, i := range waits(x) {
		s := x.server.session(i.Owner.Session)
		for _, b := range i.Blockers {
			rows = append(rows, []any{address(i), int64(i.Owner.Session), x.since(s), "LCK_M_" + i.Mode.String(), address(i), int64(b),
				fmt.Sprintf("%s %s dbid=%d id=lock mode=%s", waitKinds[i.Resource.Kind], describe(i.Resource), i.Resource.Database, i.Mode)})
		}
	}
	return rows
}

var waitKinds = map[locks.Kind]string{
	locks.Application: "applicationlock", locks.Key: "keylock", locks.Object: "objectlock", locks.Row: "ridlock",
	locks.Metadata: "metadatalock", locks.Database: "databaselock",
}

func (s *Server) session(id int) *Session {
	s.clients.Lock()
	defer s.clients.Unlock()
	return s.sessions[id]
}

// since is how long a session's request has run, in milliseconds.
func (x *exec) since(s *Session) int64 {
	if s == nil {
		return 0
	}
	return x.server.now().Sub(s.seen.Load().since).Milliseconds()
}
