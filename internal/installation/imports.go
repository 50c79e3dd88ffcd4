package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"azekura/auditlog"
	"azekura/internal/jobs"
	"azekura/register"
	"azekura/register/rowfile"

	"filippo.io/age"
	"github.com/riverqueue/river"
)

// ImportArgs is the job of an import.
type ImportArgs struct {
	ImportID int64           `json:"import_id"`
	Path     string          `json:"path"`
	Options  rowfile.Options `json:"options"`
	Density  float64         `json:"canaries,omitempty"` // for each person made
}

// Kind names the job.
func (ImportArgs) Kind() string { return "participants-import" }

// StartJobs starts working off jobs in this process.
func (i *Installation) StartJobs(ctx context.Context) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[ImportArgs]) error {
		return i.runImport(ctx, job.Args)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[RotateArgs]) error {
		return i.runRotation(ctx, job.Args)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[leakScanArgs]) error {
		return i.runLeakScan(ctx, job.Args.ID)
	}))
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, _ *river.Job[VerifyArgs]) error { return i.runVerify(ctx) }))
	var err error
	if i.Jobs, err = jobs.Start(context.WithoutCancel(ctx), i.DB, workers, i.jobGuard(), i.tell); err != nil {
		return err
	}
	i.onClose(func() error { return i.Jobs.Stop(context.WithoutCancel(ctx)) })
	i.startDaily(ctx)
	return i.resumeRotation(ctx)
}

// jobGuard lets only those jobs be worked that this installation queued.
func (i *Installation) jobGuard() jobs.Guard {
	return jobs.Guard{
		MAC: func(text []byte) [16]byte { return i.Ring.MAC("job", text) },
		Refused: func(ctx context.Context, id int64, kind string) error {
			return i.Log.Raise(ctx, auditlog.Tampering{Table: "river_job", Key: strconv.FormatInt(id, 10),
				Kind: "the row of a job was altered, or inserted by somebody else"})
		},
	}
}

// StartImport queues the import of a file, or finds it under way or done.
func (i *Installation) StartImport(ctx context.Context, path string, o rowfile.Options) (register.Import, error) {
	return i.StartPlanting(ctx, path, o, 0)
}

// StartPlanting is StartImport, with canaries planted beside whom it makes, at a
// density.
func (i *Installation) StartPlanting(ctx context.Context, path string, o rowfile.Options, density float64) (register.Import, error) {
	if !(density >= 0 && density <= register.MaxDensity) {
		return register.Import{}, register.ErrDensity
	}
	file, size, err := register.OpenFile(path)
	if err != nil {
		return register.Import{}, err
	}
	defer file.Close()
	// What can't be read at all is told at once, not by the job.
	if _, err := rowfile.Open(file, size, o); err != nil {
		return register.Import{}, err
	}
	found, err := i.Register.FileImport(ctx, file, size)
	if err != nil || found.Finished {
		return found, err
	}
	if density, err = found.Density(density); err != nil {
		return found, err
	}
	if err := i.Register.ClearFailure(ctx, found.ID); err != nil {
		return found, err
	}
	found.Failure = ""
	return found, i.Jobs.Insert(ctx, ImportArgs{ImportID: found.ID, Path: path, Options: o, Density: density})
}

// DryRun judges a file and writes nothing.
func (i *Installation) DryRun(ctx context.Context, path string, o rowfile.Options, progress func(register.Import)) (register.Import, error) {
	file, size, err := register.OpenFile(path)
	if err != nil {
		return register.Import{}, err
	}
	defer file.Close()
	return i.Register.Run(ctx, register.Import{Bytes: size}, file, register.ImportOptions{Options: o, DryRun: true, Progress: progress})
}

func (i *Installation) runImport(ctx context.Context, args ImportArgs) error {
	// One job at a time works at an import; another comes back and mostly finds
	// it done. River's unique jobs would drop one that is asked for while the
	// last one, which failed, isn't quite over.
	work := fmt.Sprint("import ", args.ImportID)
	if _, atWork := i.atWork.LoadOrStore(work, true); atWork {
		return river.JobSnooze(time.Second)
	}
	defer i.atWork.Delete(work)
	at, err := i.Register.Import(ctx, args.ImportID)
	if err != nil || at.Finished {
		return err
	}
	file, size, err := register.OpenFile(args.Path)
	if err == nil {
		defer file.Close()
		if size != at.Bytes {
			err = errors.New("the file has changed since the import began; put it back, or import the new one")
		}
	}
	if err != nil {
		return river.JobCancel(errors.Join(err, i.Register.FailImport(ctx, at.ID, err)))
	}
	_, err = i.Register.Run(ctx, at, file, register.ImportOptions{Options: args.Options, Density: args.Density, Rejects: i.writeRejects})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// The process is ending; that is no failed attempt of the job's.
		return river.JobSnooze(0)
	}
	// The import's row says why; who asked decides whether to go on.
	return river.JobCancel(err)
}

// RejectsFile is where an import's rejected rows lie, encrypted to the operator.
func (i *Installation) RejectsFile(name string) string {
	path := filepath.Join(i.Dir, "rejects", name+".ndjson.age")
	if whole, err := filepath.Abs(path); err == nil { // who asks may stand elsewhere
		return whole
	}
	return path
}

// maxRejectedRow is how much of a rejected row is kept: a longer one was
// rejected for its length.
const maxRejectedRow = 64 << 10

type rejectedRow struct {
	Row      int64             `json:"row"`
	Problems []register.Reject `json:"problems"`
	Text     string            `json:"text,omitempty"`
	Bytes    []byte            `json:"bytes,omitempty"` // where the row isn't UTF-8
}

// writeRejects writes the rejects file anew, whole: a run that was killed in
// its middle leaves none.
func (i *Installation) writeRejects(ctx context.Context, at register.Import, file io.ReaderAt) error {
	to, err := age.ParseX25519Recipient(i.Config.Operator)
	if err != nil {
		return err
	}
	path := i.RejectsFile(at.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sealed, err := age.Encrypt(temp, to)
	if err == nil {
		err = errors.Join(i.eachRejected(ctx, at.ID, file, json.NewEncoder(sealed)), sealed.Close(), temp.Sync())
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (i *Installation) eachRejected(ctx context.Context, id int64, file io.ReaderAt, out *json.Encoder) error {
	for after := int64(0); ; {
		list, err := i.Register.Rejects(ctx, id, after, 1024)
		if err != nil || len(list) == 0 {
			return err
		}
		if len(list) == 1024 {
			// The last row's other problems may be on the next page.
			last := list[len(list)-1].Row
			list = slices.DeleteFunc(list, func(r register.Reject) bool { return r.Row == last })
		}
		for len(list) > 0 {
			n := 1
			for n < len(list) && list[n].Row == list[0].Row {
				n++
			}
			row := rejectedRow{Row: list[0].Row, Problems: list[:n]}
			raw := make([]byte, min(list[0].To-list[0].From, maxRejectedRow))
			if _, err := file.ReadAt(raw, list[0].From); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if utf8.Valid(raw) {
				row.Text = string(raw)
			} else {
				row.Bytes = raw
			}
			if err := out.Encode(row); err != nil {
				return fmt.Errorf("row %d: %w", row.Row, err)
			}
			after, list = list[0].Row, list[n:]
		}
	}
}
