package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockstep-go/lockstep/applock"
	"github.com/lockstep-go/lockstep/uow"
)

const (
	tenant  = 42
	workers = 5                // in each process
	killAt  = 4                // the step inside which a process is killed
	settle  = 30 * time.Second // how long the server may take to show what must become true
)

const (
	version    = "select version from tenant where id = ?"
	stepsDone  = "select step from upgrade_log order by seq"
	workersOf  = "select worker from upgrade_log where step >= ?"
	allOfTable = "select * from " // a table's name follows
)

// upgradeTenant tells the third chapter.
func upgradeTenant(s *story, m *uow.Manager, dsn string) error {
	s.chapter("3. Ten workers in two processes upgrade tenant %d, and one process is killed", tenant)
	c := &contest{story: s, m: m, events: make(chan event)}
	err := c.start(dsn)
	for c.running > 0 {
		if err != nil {
			c.killAll()
		}
		e := <-c.events
		switch {
		case e.step == 0:
			err = errors.Join(err, c.ended(e))
		case err == nil:
			err = c.inside(e)
		}
	}
	if err == nil {
		c.conclude()
	}
	return err
}

// contest is what goes on between the processes of the third chapter.
type contest struct {
	*story
	m       *uow.Manager
	events  chan event
	started []*process
	running int
	killed  *process
}

func (c *contest) start(dsn string) error {
	for _, name := range []string{"A", "B"} {
		p, err := startProcess(c.ctx, name, dsn, workers, c.events)
		if err != nil {
			return err
		}
		c.started = append(c.started, p)
		c.running++
		c.say("Process %s has number %d and workers %s1 to %s%d.", name, p.cmd.Process.Pid, name, name, workers)
	}
	return nil
}

// inside decides what becomes of a step that a worker has done and not yet
// committed.
func (c *contest) inside(e event) error {
	if e.step == 1 {
		c.awaitRivals()
	}
	if e.step != killAt || c.killed != nil {
		c.say("Step %d is done in process %s, which commits it.", e.step, e.name)
		return e.proceed()
	}
	c.killed = e.process
	c.say("Step %d is done in process %s, which SIGKILL ends before it commits.", e.step, e.name)
	return e.kill()
}

// awaitRivals waits until workers of both processes are at the lock.
func (c *contest) awaitRivals() {
	var there []string
	both := c.eventually(func(status applock.Status) bool {
		there = append(labels(status.Holders), labels(status.Waiters)...)
		all := strings.Join(there, " ")
		return strings.Contains(all, "A") && strings.Contains(all, "B")
	})
	c.confirm("workers of both processes are at the lock "+lockName(tenant), both)
	c.confirm(fmt.Sprintf("at most 2 of each with a connection, the holder first: %v", there), len(there) <= 4)
}

// ended looks at how a process ended.
func (c *contest) ended(e event) error {
	c.running--
	switch {
	case e.process == c.killed:
		c.say("Process %s is gone: %v.", e.name, e.err)
	case e.err != nil:
		return fmt.Errorf("process %s: %w", e.name, e.err)
	default:
		c.say("Process %s has nothing left to do.", e.name)
	}
	return nil
}

func (c *contest) killAll() {
	for _, p := range c.started {
		_ = p.kill() // fails where it has ended already
	}
}

// conclude compares what the database holds with what it must hold.
func (c *contest) conclude() {
	all := make([]string, len(steps))
	for i := range all {
		all[i] = strconv.Itoa(i + 1)
	}
	survivor := c.started[0]
	if survivor == c.killed {
		survivor = c.started[1]
	}
	c.holds("steps applied, in this order", strings.Join(all, " "), stepsDone)
	after, err := c.rows(workersOf, killAt)
	c.compare(fmt.Sprintf("process that applied step %d and all after it", killAt), survivor.name, processes(after), err)
	c.holds("version in the database", strconv.Itoa(len(steps)), version, tenant)
	columns, err := c.columns("invoice", "payment")
	c.compare("columns that the steps have made", "8", strconv.Itoa(columns), err)
	c.confirm("nobody holds or wants the lock", c.eventually(func(status applock.Status) bool {
		return len(status.Holders) == 0 && len(status.Waiters) == 0
	}))
}

// processes returns the names of the processes that the workers belong to.
func processes(workers []string) string {
	var names []string
	for _, worker := range workers {
		names = append(names, worker[:1])
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// columns counts the columns that tables have.
func (c *contest) columns(tables ...string) (n int, err error) {
	for _, table := range tables {
		rows, err := c.db.QueryxContext(c.ctx, allOfTable+table)
		if err != nil {
			return n, err
		}
		names, err := rows.Columns()
		n += len(names)
		if err := errors.Join(err, rows.Close()); err != nil {
			return n, err
		}
	}
	return n, nil
}

// eventually asks the server about the lock until it is as wanted, and reports
// whether it came to be.
func (c *contest) eventually(wanted func(applock.Status) bool) bool {
	ctx, cancel := context.WithTimeout(c.ctx, settle)
	defer cancel()
	for {
		all, err := applock.Inspect(ctx, c.m, lockName(tenant))
		if err != nil {
			return false
		}
		if wanted(all[0]) {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func labels(sessions []applock.Session) []string {
	list := make([]string, len(sessions))
	for i, s := range sessions {
		list[i] = s.Label
	}
	return list
}
