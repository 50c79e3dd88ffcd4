package alarms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Target is where alarms go, as the settings name it: one of a webhook, a mail
// server or a syslog.
type Target struct {
	Name    string   `json:"name"`
	Webhook *Webhook `json:"webhook,omitempty"`
	Mail    *Mail    `json:"mail,omitempty"`
	Syslog  *Syslog  `json:"syslog,omitempty"`
}

// Webhook is posted to as Standard Webhooks says (webhook-id, webhook-timestamp,
// webhook-signature). A status of 2xx confirms.
type Webhook struct {
	URL    string `json:"url"`         // https, or http on this machine
	Secret string `json:"secret_file"` // holds whsec_ and a key in base64
	CA     string `json:"ca_file,omitempty"`
}

// Mail is sent over SMTP. The server's word at the message's end confirms.
type Mail struct {
	Server   string   `json:"server"`        // host:port
	TLS      string   `json:"tls,omitempty"` // starttls (if empty), tls, or none on this machine
	CA       string   `json:"ca_file,omitempty"`
	From     string   `json:"from"`
	To       []string `json:"to"`
	User     string   `json:"user,omitempty"`
	Password string   `json:"password_file,omitempty"`
	Language string   `json:"language,omitempty"` // ja (if empty) or en
}

// Syslog gets RFC 5424 messages over TCP, framed by their length, whose text is CEF.
// It confirms nothing: what was written counts as taken.
type Syslog struct {
	Server string `json:"server"`        // host:port
	TLS    string `json:"tls,omitempty"` // tls (if empty), or none on this machine
	CA     string `json:"ca_file,omitempty"`
}

// sender tells a target. It is one goroutine's.
type sender interface {
	send(ctx context.Context, n *Notice) error
	close()
}

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Kind is of which kind it is.
func (t *Target) Kind() string {
	switch {
	case t.Webhook != nil:
		return "webhook"
	case t.Mail != nil:
		return "mail"
	}
	return "syslog"
}

// Where names the target's place, without its secrets.
func (t *Target) Where() string {
	switch {
	case t.Webhook != nil:
		if u, err := url.Parse(t.Webhook.URL); err == nil {
			return u.Scheme + "://" + u.Host // a path may be a secret
		}
		return ""
	case t.Mail != nil:
		return t.Mail.Server
	}
	return t.Syslog.Server
}

// open checks a target, and reads its secrets. Files are in the installation's
// folder where their path isn't absolute.
func (t *Target) open(dir string) (sender, error) {
	kinds := 0
	for _, named := range []bool{t.Webhook != nil, t.Mail != nil, t.Syslog != nil} {
		if named {
			kinds++
		}
	}
	if !plainName.MatchString(t.Name) || kinds != 1 {
		return nil, errors.New("a target has a name of small letters, digits and hyphens, and is one of webhook, mail and syslog")
	}
	switch {
	case t.Webhook != nil:
		return t.Webhook.open(dir)
	case t.Mail != nil:
		return t.Mail.open(dir)
	}
	return t.Syslog.open(dir)
}

func secret(dir, name string) (string, error) {
	raw, err := os.ReadFile(inFolder(dir, name))
	return strings.TrimSpace(string(raw)), err
}

func inFolder(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// clientTLS is for a server that must have a certificate of the host's name.
func clientTLS(dir, host, ca string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if ca == "" {
		return c, nil
	}
	raw, err := os.ReadFile(inFolder(dir, ca))
	if err != nil {
		return nil, err
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(raw) {
		return nil, errors.New("the file of its authority holds no certificate")
	}
	return c, nil
}

// secured is how a server is spoken to: none is for this machine's own addresses.
func secured(dir, server, how, ca string) (*tls.Config, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil || host == "" || port == "" {
		return nil, errors.New("a server is named as host:port")
	}
	if how != "none" {
		return clientTLS(dir, host, ca)
	}
	if !loopback(host) {
		return nil, errors.New("without TLS a server is on this machine")
	}
	return nil, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (m *Mail) check() error {
	for _, address := range append([]string{m.From}, m.To...) {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			return errors.New("from and to are plain mail addresses")
		}
	}
	switch {
	case len(m.To) == 0 || len(m.To) > 50:
		return errors.New("mail goes to 1 to 50 addresses")
	case m.Language != "" && m.Language != "ja" && m.Language != "en":
		return fmt.Errorf("the languages are ja and en")
	case m.TLS != "" && m.TLS != "starttls" && m.TLS != "tls" && m.TLS != "none":
		return errors.New("tls is starttls, tls or none")
	case m.User != "" && m.TLS == "none":
		return errors.New("a password isn't sent without TLS")
	}
	return nil
}
