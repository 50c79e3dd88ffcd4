package alarms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azekura/incident/alarms"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const patience = 60 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// hook is a webhook's other end, which believes what the published library for
// receivers does. As the standard asks of receivers, it goes by webhook-id: what
// comes twice, since the first answer was lost, it takes once.
type hook struct {
	secret string
	server *httptest.Server

	mu   sync.Mutex
	fail int // answers that refuse, before it takes one
	got  []alarms.Notice
	ids  map[string]int // of got, and their places there
	bad  []string
}

func newHook(t *testing.T) *hook {
	h := &hook{ids: map[string]int{}, secret: "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))}
	h.server = httptest.NewTLSServer(h)
	t.Cleanup(h.server.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail > 0 {
		h.fail--
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	verifier, err2 := webhooks.NewWebhook(h.secret)
	var in struct {
		Type string        `json:"type"`
		Data alarms.Notice `json:"data"`
	}
	if err == nil && err2 == nil {
		if err = verifier.Verify(body, r.Header); err == nil {
			err = json.Unmarshal(body, &in)
		}
	}
	if err != nil || err2 != nil || in.Type != "azekura."+in.Data.Kind {
		h.bad = append(h.bad, fmt.Sprint(err, err2, in.Type))
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	if first, again := h.ids[id]; again {
		if h.got[first].Event != in.Data.Event {
			h.bad = append(h.bad, fmt.Sprintf("the events %d and %d have one id", h.got[first].Event, in.Data.Event))
		}
		return
	}
	h.ids[id] = len(h.got)
	h.got = append(h.got, in.Data)
}

func (h *hook) notices() []alarms.Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]alarms.Notice(nil), h.got...)
}

func (h *hook) target(t *testing.T, dir string) alarms.Target {
	must(t, os.WriteFile(filepath.Join(dir, "hook.secret"), []byte(h.secret+"\n"), 0o600))
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})
	must(t, os.WriteFile(filepath.Join(dir, "hook.pem"), raw, 0o600))
	return alarms.Target{Name: "soc", Webhook: &alarms.Webhook{URL: h.server.URL + "/secret-path", Secret: "hook.secret", CA: "hook.pem"}}
}

// process is a server of somebody else's, which can be stopped and started.
type process struct {
	name string
	args []string
	cmd  *exec.Cmd
	port string
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func (p *process) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &said, &said
	must(t, p.cmd.Start())
	t.Cleanup(p.stop)
	eventually(t, p.name+" listens", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait() // killed
}

// certificate is one for localhost, and its key, as files.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	cert, key = filepath.Join(dir, "mail.pem"), filepath.Join(dir, "mail.key")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key
}

// newMailServer is aiosmtpd, which asks for STARTTLS and keeps mail in a folder.
func newMailServer(t *testing.T, dir string) (p *process, mails func() []string, target alarms.Target) {
	t.Helper()
	cert, key := certificate(t, dir)
	box, port := filepath.Join(dir, "box"), freePort(t)
	p = &process{name: "aiosmtpd", port: port, args: []string{"-n", "-l", "localhost:" + port, "--tlscert", cert, "--tlskey", key, "-c", "aiosmtpd.handlers.Mailbox", box}}
	p.start(t)
	mails = func() (list []string) {
		files, _ := filepath.Glob(filepath.Join(box, "new", "*"))
		for _, name := range files {
			raw, err := os.ReadFile(name)
			must(t, err)
			m, err := mail.ReadMessage(bytes.NewReader(raw))
			must(t, err)
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			must(t, err)
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			must(t, err)
			list = append(list, m.Header.Get("To")+"\n"+subject+"\n"+string(body))
		}
		return list
	}
	return p, mails, alarms.Target{Name: "watch", Mail: &alarms.Mail{Server: "localhost:" + port, CA: cert, From: "azekura@example.go.jp", To: []string{"csirt@example.go.jp", "night@example.go.jp"}}}
}

// newSyslog is rsyslogd, which writes what it parsed to a file.
func newSyslog(t *testing.T, dir string) (p *process, lines func() []string, target alarms.Target) {
	t.Helper()
	port, file, conf := freePort(t), filepath.Join(dir, "syslog"), filepath.Join(dir, "rsyslog.conf")
	must(t, os.WriteFile(conf, []byte(fmt.Sprintf(`module(load="imtcp")
input(type="imtcp" port=%q address="127.0.0.1")
template(name="parsed" type="string" string="%%syslogfacility-text%% %%syslogseverity-text%% %%app-name%% %%msgid%% %%timereported:::date-rfc3339%% %%msg%%\n")
*.* action(type="omfile" file=%q template="parsed" asyncWriting="off" flushOnTXEnd="on")
`, port, file)), 0o600))
	p = &process{name: "rsyslogd", port: port, args: []string{"-n", "-f", conf, "-i", filepath.Join(dir, "rsyslog.pid")}}
	if path, err := exec.LookPath("/usr/sbin/rsyslogd"); err == nil {
		p.name = path
	}
	p.start(t)
	lines = func() (list []string) {
		raw, _ := os.ReadFile(file)
		for line := range strings.Lines(string(raw)) {
			if strings.Contains(line, "azekura") {
				list = append(list, strings.TrimSpace(line))
			}
		}
		return list
	}
	return p, lines, alarms.Target{Name: "siem", Syslog: &alarms.Syslog{Server: "127.0.0.1:" + port, TLS: "none"}}
}
