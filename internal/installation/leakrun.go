package installation

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"time"

	"azekura/access"
	"azekura/auditlog"
	"azekura/gate"
	"azekura/internal/slotfile"
	"azekura/leakscan"
	"azekura/leakscan/apart"
	"azekura/leakscan/scan"
	"azekura/register/field"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// ScanProgram is what a scan's own process runs.
var ScanProgram = func() []string {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return []string{self, "leak", "apart"}
}

// LeakScanOrder begins a scan on this machine: of a path, or of a file that comes
// with it.
type LeakScanOrder struct {
	Index   string `json:"index" maxLength:"4096" doc:"the index's file, an absolute path on the server's machine"`
	Path    string `json:"path,omitempty" maxLength:"4096" doc:"a file or folder, an absolute path on the server's machine"`
	Content []byte `json:"content,omitempty" doc:"in place of a path: a file of at most 32 MiB, in base64"`
	// Passwords are kept with the scan, for evidence too.
	Passwords []string `json:"passwords,omitempty" maxItems:"10000" doc:"to try on locked archives and PDFs"`
}

// keptOrder is an order as a scan's folder keeps it.
type keptOrder struct {
	LeakScanOrder
	Case string `json:"case"` // of the index, when the scan began
}

func (o keptOrder) keep(dir string) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return slotfile.Replace(filepath.Join(dir, orderFile), raw)
}

// LeakScan is how far a scan is, and what it found.
type LeakScan struct {
	ID      string        `json:"id"`
	State   string        `json:"state" doc:"begun, done or failed"`
	Done    int64         `json:"done" doc:"bytes"`
	Total   int64         `json:"total"`
	Problem string        `json:"problem,omitempty"`
	Summary *scan.Summary `json:"summary,omitempty" doc:"people by grade and by combination of fields, and what was read"`
}

// LeakEvidence asks for the text of one piece of evidence.
type LeakEvidence struct {
	Scan        string    `json:"scan" maxLength:"16"`
	Participant uuid.UUID `json:"participant"`
	Line        int       `json:"line" minimum:"0" doc:"which of the participant's lines in the findings, from 0"`
	Evidence    int       `json:"evidence" minimum:"0" doc:"which of the line's pieces of evidence, from 0"`
}

var (
	// ErrScan refuses a scan, or a question about one.
	ErrScan = errors.New("the scan can't be asked so")
	// ErrNoScan means that there is no scan of that id.
	ErrNoScan = errors.New("there is no scan of that id")
)

// MostUpload bounds a file that comes with a request.
const MostUpload = 32 << 20

var scanID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// scansFolder holds a folder for each scan of the server's.
func (i *Installation) scansFolder() string { return filepath.Join(i.Dir, "leak") }

// Names in a scan's folder, beside the result's.
const (
	orderFile   = "order.json"
	uploadFile  = "upload"
	problemFile = "problem"
)

// leakScanArgs is the job of a scan.
type leakScanArgs struct {
	ID string `json:"id"`
}

// Kind names the job.
func (leakScanArgs) Kind() string { return "leak-scan" }

func (i *Installation) scanFolder(id string) (string, error) {
	dir := filepath.Join(i.scansFolder(), id)
	if _, err := os.Stat(filepath.Join(dir, orderFile)); !scanID.MatchString(id) || err != nil {
		return "", ErrNoScan
	}
	return dir, nil
}

// StartLeakScan queues a scan, which runs in a process of its own and goes on after
// a restart.
func (i *Installation) StartLeakScan(ctx context.Context, o LeakScanOrder) (LeakScan, error) {
	switch {
	case !filepath.IsAbs(o.Index) || o.Path != "" && !filepath.IsAbs(o.Path):
		return LeakScan{}, fmt.Errorf("%w: index and path must be absolute", ErrScan)
	case (o.Path == "") == (len(o.Content) == 0):
		return LeakScan{}, fmt.Errorf("%w: give a path or a file's content", ErrScan)
	case len(o.Content) > MostUpload:
		return LeakScan{}, fmt.Errorf("%w: a file that comes with the request has 32 MiB at most; name a path", ErrScan)
	}
	name, err := leakscan.CaseOf(o.Index)
	if err != nil {
		return LeakScan{}, fmt.Errorf("%w: %w", ErrScan, err)
	}
	if o.Path != "" {
		if _, err := os.Lstat(o.Path); err != nil {
			return LeakScan{}, fmt.Errorf("%w: there is nothing at that path that can be read", ErrScan)
		}
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	dir := filepath.Join(i.scansFolder(), id)
	err = os.MkdirAll(dir, 0o700)
	if err == nil && o.Path == "" {
		o.Path = filepath.Join(dir, uploadFile)
		err = os.WriteFile(o.Path, o.Content, 0o600)
		o.Content = nil
	}
	if err == nil {
		err = keptOrder{o, name}.keep(dir)
	}
	if err != nil {
		return LeakScan{}, fmt.Errorf("make the scan's folder: %w", err)
	}
	return LeakScan{ID: id, State: "begun"}, i.Jobs.Insert(ctx, leakScanArgs{id})
}

func (i *Installation) scanOrder(dir string) (o keptOrder, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, orderFile))
	if err == nil {
		err = json.Unmarshal(raw, &o)
	}
	if err != nil {
		err = fmt.Errorf("read what was to be scanned: %w", err)
	}
	return o, err
}

// apart has a scan's own process do something with an index, for which its key is
// handed out.
func (i *Installation) apart(ctx context.Context, o apart.Order, progress func(done, total int64)) (string, error) {
	name, err := leakscan.CaseOf(o.Index)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrScan, err)
	}
	if o.Key, err = i.LeakKey(ctx, name); err != nil {
		return "", err
	}
	defer clear(o.Key)
	return apart.Run(ctx, ScanProgram(), o, progress)
}

func (i *Installation) runLeakScan(ctx context.Context, id string) error {
	// One at a time, so that an import needn't wait for two of them.
	if _, atWork := i.atWork.LoadOrStore(leakScanArgs{}.Kind(), true); atWork {
		return river.JobSnooze(time.Second)
	}
	defer i.atWork.Delete(leakScanArgs{}.Kind())
	dir, err := i.scanFolder(id)
	if err != nil {
		return river.JobCancel(err)
	}
	o, err := i.scanOrder(dir)
	if err == nil {
		_, err = i.apart(ctx, apart.Order{Index: o.Index, Paths: []string{o.Path}, Folder: dir, Passwords: o.Passwords}, func(done, total int64) {
			i.scanning.Store(id, [2]int64{done, total})
		})
	}
	if ctx.Err() != nil {
		return river.JobSnooze(0) // the process is ending; the journal says how far it was
	}
	i.scanning.Delete(id)
	if err != nil {
		return river.JobCancel(errors.Join(err, os.WriteFile(filepath.Join(dir, problemFile), []byte(err.Error()), 0o600)))
	}
	return nil
}

// LeakScanAt says how far a scan is.
func (i *Installation) LeakScanAt(id string) (LeakScan, error) {
	s := LeakScan{ID: id, State: "begun"}
	dir, err := i.scanFolder(id)
	if err != nil {
		return s, err
	}
	if at, ok := i.scanning.Load(id); ok {
		s.Done, s.Total = at.([2]int64)[0], at.([2]int64)[1]
		return s, nil
	}
	if raw, err := os.ReadFile(filepath.Join(dir, problemFile)); err == nil {
		s.State, s.Problem = "failed", string(raw)
		return s, nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, scan.SummaryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &s.Summary)
	}
	s.State = "done"
	return s, err
}

// ForgetLeakScan removes all that the server keeps of a scan that has ended: its
// findings, and the file that was uploaded for it.
func (i *Installation) ForgetLeakScan(ctx context.Context, id string) error {
	at, err := i.LeakScanAt(id)
	if err != nil {
		return err
	}
	if at.State == "begun" {
		return fmt.Errorf("%w: it isn't done; wait for its end", ErrScan)
	}
	dir, err := i.scanFolder(id)
	if err != nil {
		return err
	}
	o, err := i.scanOrder(dir)
	if err != nil {
		return err
	}
	if _, err := i.Log.RecordOne(ctx, auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "leak-forget", Case: o.Case}); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove what is kept of the scan: %w", err)
	}
	return nil
}

// removeUploads removes the files and passwords that came for scans with a case's
// indexes: people's data in the clear, of no use once nothing can be shown of them.
func (i *Installation) removeUploads(name string) error {
	orders, err := fs.Glob(os.DirFS(i.scansFolder()), "*/"+orderFile)
	if err != nil {
		return err
	}
	for _, order := range orders {
		dir := filepath.Join(i.scansFolder(), path.Dir(order))
		o, err := i.scanOrder(dir)
		if err != nil {
			return err
		}
		if o.Case != name {
			continue
		}
		if err := os.Remove(filepath.Join(dir, uploadFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an uploaded file: %w", err)
		}
		if o.Passwords == nil {
			continue
		}
		o.Passwords = nil
		if err := o.keep(dir); err != nil {
			return fmt.Errorf("remove a scan's passwords: %w", err)
		}
	}
	return nil
}

// mostPage bounds the findings of one answer.
const mostPage = 1000

// LeakFindings are a scan's lines, those of one combination of fields where fields
// isn't "", from one on.
func (i *Installation) LeakFindings(id, fields string, from int) ([]scan.Line, error) {
	list := []scan.Line{}
	n := 0
	err := i.eachFinding(id, func(l *scan.Line) bool {
		if combination(l.Fields) != fields && fields != "" {
			return true
		}
		if n++; n > from {
			list = append(list, *l)
		}
		return len(list) < mostPage
	})
	return list, err
}

// combination is how a summary writes a set of fields.
func combination(names []string) string {
	var s field.Set
	for _, name := range names {
		if f, err := field.Parse(name); err == nil {
			s |= field.SetOf(f)
		}
	}
	return s.String()
}

func (i *Installation) eachFinding(id string, f func(*scan.Line) (more bool)) error {
	dir, err := i.scanFolder(id)
	if err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(dir, scan.FindingsFile))
	if err != nil {
		return fmt.Errorf("%w: it isn't done", ErrScan)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<16), 4<<20)
	for lines.Scan() {
		var l scan.Line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return errors.New("a line of the scan's findings can't be read")
		}
		if !f(&l) {
			return nil
		}
	}
	return lines.Err()
}

// ShowLeakEvidence shows the text of a piece of evidence: an opening of the fields
// that were found of the participant, which the gate decides on, counts and records
// as one, before the file is looked at. What else stands in the record is shown too.
func (i *Installation) ShowLeakEvidence(ctx context.Context, s access.Session, why gate.Why, ask LeakEvidence) (text string, err error) {
	if !s.Live() {
		return "", access.ErrNoSession
	}
	var of *scan.Line
	n := 0
	err = i.eachFinding(ask.Scan, func(l *scan.Line) bool {
		if l.Participant != ask.Participant {
			return true
		}
		if n == ask.Line {
			of = l
		}
		n++
		return of == nil
	})
	if err != nil {
		return "", err
	}
	if of == nil || ask.Evidence < 0 || ask.Evidence >= len(of.Evidence) {
		return "", fmt.Errorf("%w: it has no such evidence", ErrScan)
	}
	at := of.Evidence[ask.Evidence]
	place := scan.Place{Path: at.Path, Participant: ask.Participant, SHA256: at.File}
	if n, err := fmt.Sscanf(at.Place, "R%dC%d", &place.Row, &place.Col); err != nil || n != 2 {
		return "", fmt.Errorf("%w: this evidence has no place that can be shown", ErrScan)
	}
	dir, err := i.scanFolder(ask.Scan)
	if err != nil {
		return "", err
	}
	o, err := i.scanOrder(dir)
	if err != nil {
		return "", err
	}
	if place.File, err = fileOf(o.Path, at.Path); err != nil {
		return "", err
	}
	var fields field.Set
	for _, name := range of.Fields {
		f, err := field.Parse(name)
		if err != nil {
			return "", fmt.Errorf("%w: the findings name a field that isn't known", ErrScan)
		}
		fields |= field.SetOf(f)
	}
	if _, err := i.Gate.Read(ctx, s, gate.ReadRequest{Who: gate.Who{Participant: ask.Participant}, Why: why, Fields: fields}); err != nil {
		return "", err
	}
	return i.apart(ctx, apart.Order{Index: o.Index, Show: &place, Passwords: o.Passwords}, func(int64, int64) {})
}

// fileOf is the file on disk that a path in evidence begins with: a name may hold the
// mark that parts a container from what it holds.
func fileOf(root, path string) (string, error) {
	root = filepath.Clean(root)
	for n := len(path); n > 0; n-- {
		if n < len(path) && path[n] != '|' {
			continue
		}
		if rel, err := filepath.Rel(root, path[:n]); err != nil || !filepath.IsLocal(rel) {
			continue
		}
		if info, err := os.Lstat(path[:n]); err == nil && info.Mode().IsRegular() {
			return path[:n], nil
		}
	}
	return "", fmt.Errorf("%w: the file isn't there any more", ErrScan)
}
