// Package pgtest gives tests and benchmarks a real PostgreSQL: clusters made
// for the moment, in folders of their own, from the binaries that Debian
// installs. It needs no service, no configuration and no rights, and it works
// for root too, as user postgres.
//
// It promises that a cluster and its folder go away with the process that
// started them, even one that was killed. It doesn't promise that what a
// cluster holds outlives anything: only Options.Sync makes commits durable,
// and then against a kill, not against the folder's removal.
//
// No other user of the machine gets in: connections are by loopback and need
// the password that the URL carries.
package pgtest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// shared is the cluster that every URL of this process lives in.
var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
	count   atomic.Int64
}

// URL makes a new, empty database in this process's cluster and returns its
// URL. The database is dropped, connections and all, when the test ends. The
// first call starts the cluster; it isn't synced to disk.
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = Start(Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	db := fmt.Sprintf("test_%d", shared.count.Add(1))
	if err := shared.cluster.CreateDB(db); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.cluster.DropDB(db); err != nil {
			t.Error(err)
		}
	})
	return shared.cluster.URL(db)
}

// Main runs the tests and then stops this process's cluster:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Without it the cluster stops just after the process, instead of before.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.cluster != nil {
		shared.cluster.Stop()
	}
	return code
}

// New is Start for a test that needs a cluster to itself, to kill it or to
// fill its disk: it fails the test on an error, and stops at the test's end.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}
