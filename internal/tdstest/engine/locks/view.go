package locks

import "cmp"
import "slices"

// Status is how far a request got.
type Status uint8

// The states of a request.
const (
	Grant Status = iota
	Wait
	Convert
)

var statusNames = [...]string{"GRANT", "WAIT", "CONVERT"}

// String returns the status as sys.dm_tran_locks shows it.
func (s Status) String() string { return statusNames[s] }

// Info is one row of what the manager knows. A conversion shows as its granted
// mode and, in a row of its own, as the wanted one.
type Info struct {
	Resource Resource
	Owner    *Owner
	Mode     Mode
	Status   Status
	Count    int
	Blockers []int // sessions that a waiting request waits for
}

// View returns all requests, in the order of their resources.
func (m *Manager) View() []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Info
	for _, l := range m.locks {
		for _, g := range l.granted {
			all = append(all, Info{Resource: l.resource, Owner: g.owner, Mode: g.mode, Count: g.count})
		}
		for _, w := range l.waiting {
			status := Wait
			if w.converting() {
				status = Convert
			}
			all = append(all, Info{Resource: l.resource, Owner: w.owner, Mode: w.want, Status: status, Blockers: w.blockers()})
		}
	}
	slices.SortStableFunc(all, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Resource.Kind, b.Resource.Kind), cmp.Compare(a.Resource.Database, b.Resource.Database),
			cmp.Compare(a.Resource.Object, b.Resource.Object), cmp.Compare(a.Resource.Key, b.Resource.Key))
	})
	return all
}
