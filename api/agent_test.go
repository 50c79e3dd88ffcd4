package api_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azekura/access"
	"azekura/access/device/tpm"
	"azekura/access/device/tpm/tpmtest"
	"azekura/api"
	"azekura/internal/installation"
	"azekura/internal/insttest"
)

// added has the operator add a device, and returns its code.
func added(t *testing.T, o *office, id string) string {
	t.Helper()
	operator, err := api.Dial(o.inst.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var d api.AddedDevice
	if err := operator.Do(t.Context(), http.MethodPost, "/operator/devices", api.NewDevice{ID: id, Office: "o-1"}, &d); err != nil {
		t.Fatal(err)
	}
	return d.Code
}

// TestAgentRenews: an agent that was stopped for half of its certificate's life renews
// it with the same key, be that in a file or in a TPM, and the PC reads with the new one.
func TestAgentRenews(t *testing.T) {
	t.Run("a file", func(t *testing.T) { agentRenews(t, api.NoTPM, access.KindFile) })
	t.Run("a TPM", func(t *testing.T) { agentRenews(t, tpmtest.Start(t), access.KindTPM) })
}

func agentRenews(t *testing.T, at, kind string) {
	to, now := shortNew(t, "sqlite"), time.Now().UTC()
	driven, err := installation.CreateClock(to, now.Add(-13*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driven.Close() })
	o := newOffice(t, insttest.Open(t, to))
	o.inst.Config.DeviceKeys = true
	address, _ := listening(t, o)
	dir := filepath.Join(t.TempDir(), "agent")
	a, err := api.OpenAgent(t.Context(), dir, api.Enrol{Server: "https://" + address, Code: added(t, o, "pc-9"), TPM: at})
	if err != nil {
		t.Fatal(err)
	}
	first := a.Until()
	before, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	driven.Set(now)
	a, err = api.OpenAgent(t.Context(), dir, api.Enrol{})
	if err != nil || a.Until().Sub(first) < 12*time.Hour {
		t.Fatalf("until %s, renewed until %s: %v", first, a.Until(), err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "key.pem")); err != nil || string(after) != string(before) {
		t.Errorf("the key is another: %v", err)
	}
	keys := o.inst.Access.Keys("pc-9")
	if len(keys) != 1 || keys[0].Kind != kind || !keys[0].Until.Equal(a.Until()) {
		t.Errorf("%+v", keys)
	}
	certificates := 0
	for _, e := range insttest.Events(t, o.inst) {
		if e.Device == "pc-9" && strings.Contains(string(e.Detail), `"certificate"`) {
			if certificates++; !strings.Contains(string(e.Detail), `"kind":"`+kind+`"`) {
				t.Errorf("event %d doesn't say that the key is kept as %s", e.Index, kind)
			}
		}
	}
	if certificates != 2 {
		t.Errorf("%d certificates in the log, of one enrolment and one renewal", certificates)
	}
	c, err := api.DialDevice(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, c.Token = insttest.Session(t, o.inst, "s-1", "caseworker", "pc-9")
	var got api.ReadAnswer
	if err := c.Do(t.Context(), http.MethodPost, "/v1/read", api.ReadRequest{Whom: api.Whom{Ref: o.people[0].Ref}, Reason: why, Fields: []string{"name"}}, &got); err != nil || got.Values.Name == "" {
		t.Errorf("with the renewed certificate: %v", err)
	}
}

// TestAgentWithoutTPM: a TPM that was asked for and isn't there leaves nothing behind;
// where none was insisted on, the key is in a file, the agent says so and why, and a
// TPM that comes later doesn't change it.
func TestAgentWithoutTPM(t *testing.T) {
	o, address, _, _ := guarded(t)
	nowhere, dir := filepath.Join(t.TempDir(), "tpmrm0"), filepath.Join(t.TempDir(), "agent")
	e := api.Enrol{Server: "https://" + address, Code: added(t, o, "pc-9"), TPM: nowhere}
	if _, err := api.OpenAgent(t.Context(), dir, e); err == nil || !strings.Contains(err.Error(), nowhere) {
		t.Errorf("a TPM that isn't there: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || len(o.inst.Access.Keys("pc-9")) > 0 {
		t.Errorf("it left %v: %v", left, err)
	}
	kind, says := access.KindFile, []string{"in a file", "copy", tpm.Default}
	if _, err := tpm.Make(tpm.Default); err == nil { // this machine has one
		kind, says = access.KindTPM, []string{"in the TPM " + tpm.Default}
	}
	e.TPM = api.AutoTPM
	a, err := api.OpenAgent(t.Context(), dir, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range says {
		if !strings.Contains(a.Kept(), words) {
			t.Errorf("it says %q, without %q", a.Kept(), words)
		}
	}
	said := a.Kept()
	a, err = api.OpenAgent(t.Context(), dir, api.Enrol{TPM: tpmtest.Start(t)})
	if err != nil || !strings.HasPrefix(said, a.Kept()) {
		t.Errorf("a TPM came: %v", err)
	}
	if keys := o.inst.Access.Keys("pc-9"); len(keys) != 1 || keys[0].Kind != kind || keys[0].Copyable() != (kind == access.KindFile) {
		t.Errorf("%+v", keys)
	}
}

// TestAgentInsists: the key that an enrolment left which wasn't completed is taken up as
// it is kept, and not in another's place: who asks for a TPM doesn't get a file's key.
func TestAgentInsists(t *testing.T) {
	o, address, _, _ := guarded(t)
	code, at := added(t, o, "pc-9"), tpmtest.Start(t)
	for _, c := range []struct{ begun, asked, says string }{{api.NoTPM, at, "in a file"}, {at, api.NoTPM, "in a TPM"}} {
		dir := filepath.Join(t.TempDir(), "agent")
		if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{Server: "https://127.0.0.1:1", Code: code, TPM: c.begun}); err == nil {
			t.Fatal("enrolled nowhere")
		}
		e := api.Enrol{Server: "https://" + address, Code: code, TPM: c.asked}
		if _, err := api.OpenAgent(t.Context(), dir, e); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("a key %s, asked otherwise: %v", c.says, err)
		}
		if keys := o.inst.Access.Keys("pc-9"); len(keys) > 0 {
			t.Fatalf("enrolled: %+v", keys)
		}
	}
	dir := filepath.Join(t.TempDir(), "agent")
	for _, server := range []string{"https://127.0.0.1:1", "https://" + address} {
		if _, err := api.OpenAgent(t.Context(), dir, api.Enrol{Server: server, Code: code, TPM: at}); (err == nil) != strings.HasSuffix(server, address) {
			t.Errorf("begun and gone on with as asked, at %s: %v", server, err)
		}
	}
	if keys := o.inst.Access.Keys("pc-9"); len(keys) != 1 || keys[0].Kind != access.KindTPM {
		t.Errorf("%+v", keys)
	}
}
