package rules

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "azekura"
)

// tree is the repository: each file's text by its path from the root.
type tree map[string]string

// wholeTree reads every file that git tracks, or would if told to.
var wholeTree = sync.OnceValues(func() (tree, error) {
	// The command line's safe.directory lets root test another user's clone.
	git := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir = root
	out, err := git.Output()
	if err != nil {
		return nil, errors.Join(errors.New("list the repository's files by git; run `make setup`, and work in a clone"), err)
	}
	files := tree{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted, and not yet committed
		case err != nil:
			return nil, err
		default:
			files[name] = string(text)
		}
	}
	return files, nil
})

func repository(t *testing.T) tree {
	t.Helper()
	// go test repeats a cached result while all that the test itself opened is
	// unchanged. It doesn't see what git opens, so we open the folders too.
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if errors.Is(err, fs.ErrNotExist) { // another test's folder, gone while we walk
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := wholeTree()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// goFiles are the files of Go packages, parsed up to their imports.
func (files tree) goFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	parsed := map[string]*ast.File{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed[name] = f
	}
	return parsed
}

// pkg is a folder of Go files and the folders of this module that it imports.
type pkg struct {
	code, tests map[string]bool
}

// graph is the module's packages by folder.
type graph map[string]pkg

func (files tree) graph(t *testing.T) graph {
	t.Helper()
	g := graph{}
	for name, f := range files.goFiles(t) {
		dir := path.Dir(name)
		if _, ok := g[dir]; !ok {
			g[dir] = pkg{map[string]bool{}, map[string]bool{}}
		}
		imports := g[dir].code
		if strings.HasSuffix(name, "_test.go") {
			imports = g[dir].tests
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if to, ours := strings.CutPrefix(imported, module+"/"); ours {
				imports[to] = true
			}
		}
	}
	return g
}

// is tells whether a folder is under one of the patterns: "gate" is that
// folder, "gate/..." also those in it, "..." all.
func is(dir string, patterns []string) bool {
	for _, p := range patterns {
		base, deep := strings.CutSuffix(p, "...")
		base = strings.TrimSuffix(base, "/")
		if dir == base || deep && (base == "" || strings.HasPrefix(dir, base+"/")) {
			return true
		}
	}
	return false
}
