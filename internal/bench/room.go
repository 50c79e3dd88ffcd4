package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"azekura/access/budget"
	"azekura/internal/installation"
	"azekura/keyring/root"
)

// room is an installation of this run.
type room struct {
	bench    *bench
	engine   string
	dir      string
	database string // its name on PostgreSQL
	people   int64
}

var passphrase = []byte("correct horse battery staple")

// newRoom makes an empty installation, as azekura init does but for a cheap
// passphrase.
func (b *bench) newRoom(ctx context.Context, engine string) (*room, error) {
	b.made++
	name := fmt.Sprintf("room_%d", b.made)
	r := &room{bench: b, engine: engine, dir: filepath.Join(b.folder, name)}
	url, err := b.emptyDatabase(ctx, engine, name)
	if err != nil {
		return nil, err
	}
	o := installation.CreateOptions{Passphrase: passphrase, WorkFactor: 10, Budgets: budget.Unlimited()}
	if engine == postgresql {
		r.database, o.Database = name, url
	}
	if _, err := installation.Create(ctx, r.dir, o); err != nil {
		return nil, err
	}
	return r, os.WriteFile(r.passphraseFile(), append(passphrase, '\n'), 0o600)
}

// emptyDatabase is the address of a new one.
func (b *bench) emptyDatabase(ctx context.Context, engine, name string) (string, error) {
	if engine == sqlite {
		return filepath.Join(b.folder, name+".db"), nil
	}
	s, err := b.postgres(ctx)
	if err != nil {
		return "", err
	}
	return s.cluster.URL(name), s.cluster.CreateDB(name)
}

func (r *room) passphraseFile() string { return filepath.Join(r.dir, "passphrase") }

// drop gives back the disk of what emptyDatabase made.
func (b *bench) drop(engine, name string) error {
	if engine == postgresql {
		return b.server.cluster.DropDB(name)
	}
	return os.Remove(filepath.Join(b.folder, name+".db"))
}

// remove gives back its disk.
func (r *room) remove() error {
	if r.database != "" {
		if err := r.bench.drop(r.engine, r.database); err != nil {
			return err
		}
	}
	return os.RemoveAll(r.dir)
}

// open opens it in this process.
func (r *room) open(ctx context.Context) (*installation.Installation, error) {
	return installation.Open(ctx, r.dir, func() ([]byte, error) { return bytes.Clone(passphrase), nil })
}

// databaseCPU is what PostgreSQL has used so far; SQLite is in our own process.
func (r *room) databaseCPU() time.Duration {
	if r.engine == sqlite {
		return 0
	}
	return familyCPU(r.bench.server.pid)
}

// azekura is a command of the real binary on this room.
func (r *room) azekura(ctx context.Context, args ...string) (*exec.Cmd, error) {
	binary, err := r.bench.binary(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, append([]string{"--dir", r.dir}, args...)...)
	cmd.Env = append(os.Environ(), root.EnvPassphraseFile+"="+r.passphraseFile())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd, nil
}

// imported is what an import took.
type imported struct {
	took time.Duration
	peak int64 // bytes of memory, of azekura alone
	cpu  time.Duration
}

// fill imports a file by azekura participants import, from the process's start
// to its end.
func (r *room) fill(ctx context.Context, path string, people int64) (i imported, err error) {
	cmd, err := r.azekura(ctx, "participants", "import", path)
	if err != nil {
		return i, err
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	before, began := r.databaseCPU(), time.Now()
	if err := cmd.Start(); err != nil {
		return i, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for look := time.Tick(20 * time.Millisecond); ; {
		select {
		case <-look:
			i.peak = max(i.peak, peak(cmd.Process.Pid))
			continue
		case err = <-ended:
		}
		break
	}
	i.took = time.Since(began)
	i.cpu = r.databaseCPU() - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if want := fmt.Sprintf("%d new", people); err == nil && !strings.Contains(said.String(), want) {
		err = errors.New("not everybody was imported")
	}
	if err != nil {
		return i, fmt.Errorf("import %d people: %w\n%s", people, err, said.String())
	}
	r.people = people
	return i, r.settle(ctx)
}

// settle ends what an import leaves to later on PostgreSQL: dead rows, the
// write-ahead log, statistics. It isn't part of any figure. On SQLite the
// command's end was a checkpoint.
func (r *room) settle(ctx context.Context) error {
	if r.engine == sqlite {
		return nil
	}
	return errors.Join(r.bench.server.sql(ctx, r.database, "VACUUM ANALYZE"), r.bench.server.sql(ctx, r.database, "CHECKPOINT"))
}

// furnished is the room of an engine that is full of people; stages share it.
func (b *bench) furnished(ctx context.Context, engine string) (*room, error) {
	if r := b.rooms[engine]; r != nil {
		return r, nil
	}
	path, err := b.people(ctx, b.scale.People)
	if err != nil {
		return nil, err
	}
	r, err := b.newRoom(ctx, engine)
	if err != nil {
		return nil, err
	}
	b.say("importing %d people on %s", b.scale.People, engineNames[engine])
	if _, err := r.fill(ctx, path, b.scale.People); err != nil {
		return nil, err
	}
	b.rooms[engine] = r
	return r, nil
}
