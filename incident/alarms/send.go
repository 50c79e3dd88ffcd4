package alarms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/smtp"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

type webhook struct {
	url  string
	key  []byte
	http *http.Client
}

func (w *Webhook) open(dir string) (sender, error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("a webhook's URL begins with https://, or with http:// on this machine")
	}
	text, err := secret(dir, w.Secret)
	if err != nil {
		return nil, fmt.Errorf("read the webhook's secret: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("a webhook's secret is whsec_ and 24 to 64 bytes in base64")
	}
	c, err := clientTLS(dir, u.Hostname(), w.CA)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c, ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &webhook{w.URL, key, &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

func (w *webhook) close() { w.http.CloseIdleConnections() }

func (w *webhook) send(ctx context.Context, n *Notice) error {
	body, err := json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      *Notice   `json:"data"`
	}{"azekura." + n.Kind, n.Time, n})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("its URL can't be used")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, w.key)
	id := strings.NewReplacer(".", "_", "/", "_").Replace(n.ID) // a dot ends it in what is signed
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	answer, err := w.http.Do(r)
	if err != nil {
		var of *url.Error // it holds the URL, whose path may be a secret
		if errors.As(err, &of) {
			err = of.Err
		}
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %d", answer.StatusCode)
	}
	return nil
}

type mailer struct {
	*Mail
	tls      *tls.Config
	password string
}

func (m *Mail) open(dir string) (sender, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	c, err := secured(dir, m.Server, m.TLS, m.CA)
	if err != nil {
		return nil, err
	}
	s := &mailer{Mail: m, tls: c}
	if m.User != "" {
		if s.password, err = secret(dir, m.Password); err != nil {
			return nil, fmt.Errorf("read the mail server's password: %w", err)
		}
	}
	return s, nil
}

func (m *mailer) close() {}

func (m *mailer) send(ctx context.Context, n *Notice) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end) // of a socket that is open
	if m.TLS == "tls" {
		conn = tls.Client(conn, m.tls)
	}
	c, err := smtp.NewClient(conn, m.tlsName())
	if err != nil {
		return err
	}
	defer c.Close()
	if m.TLS == "" || m.TLS == "starttls" {
		if err := c.StartTLS(m.tls); err != nil {
			return err
		}
	}
	if m.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.User, m.password, m.tlsName())); err != nil {
			return err
		}
	}
	if err := c.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(n)); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // here it confirms
		return err
	}
	_ = c.Quit() // it has the message
	return nil
}

func (m *mailer) tlsName() string {
	host, _, _ := net.SplitHostPort(m.Server) // was checked
	return host
}

// message is the mail (RFC 5322).
func (m *mailer) message(n *Notice) []byte {
	var b bytes.Buffer
	subject, body := n.words(m.Language != "en")
	domain := m.From[strings.LastIndexByte(m.From, '@')+1:]
	id := strings.NewReplacer("/", ".", " ", "").Replace(n.ID)
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nSubject: %s\r\n", m.From, strings.Join(m.To, ", "),
		time.Now().Format(time.RFC1123Z), id, domain, mime.QEncoding.Encode("utf-8", subject))
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nAuto-Submitted: auto-generated\r\n\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(q, strings.ReplaceAll(body, "\n", "\r\n")) // into memory
	_ = q.Close()
	return b.Bytes()
}

type syslog struct {
	*Syslog
	tls  *tls.Config
	host string
	conn net.Conn
}

func (s *Syslog) open(dir string) (sender, error) {
	if s.TLS != "" && s.TLS != "tls" && s.TLS != "none" {
		return nil, errors.New("tls is tls or none")
	}
	c, err := secured(dir, s.Server, s.TLS, s.CA)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsAny(host, " \t") {
		host = "-"
	}
	return &syslog{Syslog: s, tls: c, host: host}, nil
}

func (s *syslog) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}

func (s *syslog) send(ctx context.Context, n *Notice) error {
	if s.conn != nil && !s.open() {
		s.conn.Close()
		s.conn = nil
	}
	if s.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Server)
		if err != nil {
			return err
		}
		if s.tls != nil {
			t := tls.Client(conn, s.tls)
			if err := t.HandshakeContext(ctx); err != nil {
				conn.Close()
				return err
			}
			conn = t
		}
		s.conn = conn
	}
	end, _ := ctx.Deadline()
	text := n.syslog(s.host)
	err := s.conn.SetWriteDeadline(end)
	if err == nil {
		_, err = fmt.Fprintf(s.conn, "%d %s", len(text), text)
	}
	if err != nil {
		s.conn.Close()
		s.conn = nil
	}
	return err
}

// open tells whether the other side has closed the connection: it says nothing else.
func (s *syslog) open() bool {
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	var one [1]byte
	_, err := s.conn.Read(one[:])
	var waits net.Error
	return errors.As(err, &waits) && waits.Timeout()
}
