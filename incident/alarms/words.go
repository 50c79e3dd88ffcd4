package alarms

import (
	"fmt"
	"strings"
	"time"
)

// cefSeverity is CEF's, of 0 to 10; syslogSeverity RFC 5424's, of the facility
// "log audit" (13).
var (
	cefSeverity    = map[string]int{"low": 3, "medium": 5, "high": 8, "critical": 10}
	syslogSeverity = map[string]int{"low": 5, "medium": 4, "high": 3, "critical": 2}
)

const logAudit = 13

// syslog is the message: RFC 5424 around CEF 0.
func (n *Notice) syslog(host string) string {
	severity, ok := syslogSeverity[n.Severity]
	if !ok {
		severity = syslogSeverity["high"]
	}
	return fmt.Sprintf("<%d>1 %s %s azekura - %s - %s", logAudit*8+severity, n.Time.Format("2006-01-02T15:04:05.000000Z07:00"), host, n.Kind, n.cef())
}

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", "")
)

// cef is the notice in the Common Event Format: the rule is the signature's id.
func (n *Notice) cef() string {
	severity, ok := cefSeverity[n.Severity]
	if !ok {
		severity = cefSeverity["high"]
	}
	id := n.Rule
	if id == "" {
		id = n.Kind
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CEF:0|Azekura|Azekura|1|%s|%s|%d|", cefHeader.Replace(id), cefHeader.Replace(n.Says), severity)
	fmt.Fprintf(&b, "rt=%d externalId=%s cat=%s", n.Time.UnixMilli(), cefValue.Replace(n.ID), n.Kind)
	for _, pair := range [][2]string{{"suser", n.Staff}, {"spriv", n.Role}, {"dvchost", n.Device}} {
		if pair[1] != "" {
			fmt.Fprintf(&b, " %s=%s", pair[0], cefValue.Replace(pair[1]))
		}
	}
	for i, pair := range [][2]string{{"session", n.Session}, {"target", n.Target}} {
		if pair[1] != "" {
			fmt.Fprintf(&b, " cs%d=%s cs%dLabel=%s", i+1, cefValue.Replace(pair[1]), i+1, pair[0])
		}
	}
	return b.String()
}

// in Japan the day begins nine hours before it does in the log.
var japan = time.FixedZone("JST", 9*3600)

var kinds = map[string]string{Alarm: "警報", Containment: "遮断", Release: "解除", Test: "試験", Settings: "設定の変更"}

// says are the shipped rules' signs in Japanese.
var says = map[string]string{
	"canary-opened":        "カナリア（実在しない加入者）の項目が開かれようとし、又は照合された",
	"canaries-found":       "特定の人を探していない検索の候補にカナリアが現れた",
	"budget-spent":         "閲覧の予算が尽きた後も要求があった",
	"budget-pressed":       "閲覧の予算が尽きた後も要求が繰り返された",
	"no-case":              "もっともな事案のない閲覧が要求された",
	"misses":               "該当のない検索が多い",
	"misses-on-and-on":     "該当のない検索が続いている",
	"canaries-named":       "番号による検索でカナリアが繰り返し指定された",
	"touch-not-given":      "認証器への接触を求められた後も、接触のないまま要求が繰り返された",
	"wrong-answers":        "本人申告の照合の不一致が多い",
	"key-moved":            "セッションがそれまでと異なるアドレスで続けて使われた",
	"key-at-two-addresses": "端末の鍵が一分以内に二つのアドレスで交互に使われた（複製されている）",
	"tampering":            "データベースの行が書き換えられ、加えられ、又は消されている",
	"elsewhere":            "トークン又は証明書が本来と違う場所で使われた",
	"targets":              "警報の送り先が変更された",
	"witnesses":            "監査記録に連署する証人、又はその条件が変更された",
	"test":                 "警報の送り先の試験",
}

var severities = map[string]string{"low": "低", "medium": "中", "high": "高", "critical": "緊急"}

// words are a mail's subject and text.
func (n *Notice) words(japanese bool) (subject, body string) {
	type line struct{ ja, en, is string }
	lines := []line{{"規則", "rule", n.Rule}, {"内容", "what", n.Says}, {"重大度", "severity", n.Severity}, {"時刻", "time", n.Time.Format(time.RFC3339)},
		{"対象", "target", n.Target}, {"職員", "staff member", n.Staff}, {"役割", "role", n.Role}, {"端末", "device", n.Device}, {"セッション", "session", n.Session},
		{"監査ログ", "audit log", fmt.Sprintf("%d / %d", n.Log, n.Event)}}
	subject = fmt.Sprintf("Azekura: %s (%s): %s", n.Kind, n.Severity, n.Rule)
	if japanese {
		subject = fmt.Sprintf("Azekura %s（重大度 %s）%s", kinds[n.Kind], severities[n.Severity], n.Rule)
		if text, ok := says[n.Rule]; ok {
			lines[1].is = text + "（" + n.Says + "）"
		}
		lines[2].is, lines[3].is = severities[n.Severity], n.Time.In(japan).Format("2006-01-02 15:04:05 JST")
	}
	var b strings.Builder
	for _, l := range lines {
		name, colon := l.en, ": "
		if japanese {
			name, colon = l.ja, "："
		}
		if l.is != "" {
			b.WriteString(name + colon + l.is + "\n")
		}
	}
	if japanese {
		b.WriteString("\n詳しくは azekura alarms list と azekura contain --help を御覧ください。\n")
	} else {
		b.WriteString("\nSee azekura alarms list, and azekura contain --help.\n")
	}
	return subject, b.String()
}
