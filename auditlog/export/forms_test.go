package export

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"azekura/auditlog"
	"azekura/register/field"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the golden files anew")

// examples are a row of each kind, and some of the odd ones.
func examples() (rows []row) {
	id := uuid.MustParse("0190d2a5-7b3c-7d00-8000-000000000001")
	at := int64(1433116800000000)
	add := func(e auditlog.Event) *auditlog.Event {
		e.Log, e.Index, e.Time = 1, int64(len(rows)), at+int64(len(rows))
		rows = append(rows, row{Event: &e})
		return &e
	}
	staff := func(a auditlog.Action, outcome string) auditlog.Event {
		return auditlog.Event{Action: a, Outcome: outcome, Purpose: "enquiry", Case: "C-2015-0061", Staff: "s-01", Role: "caseworker", Device: "pc-07",
			Session: 0x11, SessionSeq: 12, Request: "q-1"}
	}
	of := func(e auditlog.Event, fields ...field.Field) auditlog.Event {
		e.Participant, e.ParticipantSeq = id, 4
		for i, f := range fields {
			e.Fields = append(e.Fields, auditlog.FieldVersion{Field: f, Version: int64(i + 1)})
		}
		return e
	}
	with := func(e auditlog.Event, detail string) auditlog.Event {
		e.Detail = json.RawMessage(detail)
		return e
	}
	add(of(staff(auditlog.Read, "ok"), field.Name, field.Birth))
	add(of(staff(auditlog.Check, "ok"), field.Phone))
	add(of(staff(auditlog.Checked, "yes"), field.Phone))
	add(with(staff(auditlog.Search, "ok"), `{"by":"name_birth"}`))
	add(of(staff(auditlog.Show, "ok"), field.Mask))
	add(with(staff(auditlog.Deny, "role"), `{"asked":"read"}`))
	add(of(staff(auditlog.Change, "ok"), field.Address))
	add(of(staff(auditlog.Shred, "ok")))
	add(of(staff(auditlog.Index, "ok"), field.Name))
	add(with(staff(auditlog.Grant, "ok"), `{"grants":"session"}`))
	add(with(auditlog.Event{Action: auditlog.Contain, Outcome: "ok", Staff: "s-01", Device: "pc-07", Session: 0x11, SessionSeq: 13}, `{"contains":"session"}`))
	add(with(auditlog.Event{Action: auditlog.System, Outcome: "ok", Purpose: "daily"}, `{"day":"2015-06-01"}`))
	add(with(auditlog.Event{Action: auditlog.Alarm, Outcome: "found"}, `{"table":"register_version"}`))
	add(with(staff(auditlog.Export, "ok"), `{"format":"csv"}`))
	odd := staff(auditlog.Read, "ok")
	odd.Case, odd.Purpose = `=HYPERLINK("http://x")`, "-2+3"
	add(of(odd, field.Ref))
	for _, opens := range []bool{true, false} {
		set := staff(auditlog.Set, "ok")
		set.Set = &auditlog.SetInfo{ID: 0x22, Count: 2, Root: auditlog.Hash{1, 2, 3}, Job: "letters", Opens: opens, Union: field.SetOf(field.Name, field.Address)}
		e := add(set)
		for place := range int64(2) {
			member := &auditlog.Member{ID: id, Fields: field.SetOf(field.Name, field.Address), Version: 1 + place}
			rows = append(rows, row{Event: e, member: member, place: place})
		}
	}
	return rows
}

func written(t *testing.T, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newWriter(format, "log.example.test/office", &b)
	for _, r := range examples() {
		if err := w.row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestGolden: other people's systems read these; a change of form must be meant.
func TestGolden(t *testing.T) {
	for _, format := range Formats {
		got, path := written(t, format), "testdata/"+format+".golden"
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s isn't what %s holds:\n%s", format, path, got)
		}
	}
}

// TestFHIR holds every row to the published schema of R4.
func TestFHIR(t *testing.T) {
	schema := compiled(t)
	for i, line := range splitLines(written(t, "fhir")) {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("row %d: %v\n%s", i, err, line)
		}
	}
	for name, bad := range map[string]string{
		"no recorded":     `{"resourceType":"AuditEvent","type":{},"agent":[],"source":{}}`,
		"more than it is": strings.Replace(string(splitLines(written(t, "fhir"))[0]), `{"resourceType"`, `{"surplus":1,"resourceType"`, 1),
		"another action":  strings.Replace(string(splitLines(written(t, "fhir"))[0]), `"action":"R"`, `"action":"read"`, 1),
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("the schema takes an event with %s", name)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/fhir-r4-auditevent.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func splitLines(b []byte) [][]byte {
	return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

// TestBALP holds the rows that claim one of the IHE's profiles to that profile's
// slices (IHE ITI BALP 1.1, PatientRead, PatientQuery, PatientUpdate and
// PatientDelete and their parents), spelt out here from its text: the profiles'
// own files need a FHIR validator that we don't have.
func TestBALP(t *testing.T) {
	seen := map[string]int{}
	for i, line := range splitLines(written(t, "fhir")) {
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Meta == nil {
			continue
		}
		name := strings.TrimPrefix(e.Meta.Profile[0], balpProfile)
		seen[name]++
		if fault := balpFault(&e, name); fault != "" {
			t.Errorf("row %d, %s: %s\n%s", i, name, fault, line)
		}
	}
	for _, name := range []string{"PatientRead", "PatientQuery", "Query", "PatientUpdate", "PatientDelete"} {
		if seen[name] == 0 {
			t.Errorf("no row claims %s", name)
		}
	}
	var e auditEvent
	if err := json.Unmarshal(splitLines(written(t, "fhir"))[0], &e); err != nil {
		t.Fatal(err)
	}
	e.Entity = e.Entity[1:]
	if balpFault(&e, "PatientRead") == "" {
		t.Error("a read without its patient passes")
	}
}

func balpFault(e *auditEvent, profile string) string {
	patient, name := strings.HasPrefix(profile, "Patient"), strings.TrimPrefix(profile, "Patient")
	want := map[string]struct{ subtype, action, client, server string }{
		"Read":   {"read", "R", "110152", "110153"},
		"Query":  {"search", "E", "110153", "110152"},
		"Update": {"update", "U", "110153", "110152"},
		"Delete": {"delete", "D", "110153", "110152"},
	}[name]
	if e.Type != rest || len(e.Subtype) != 1 || e.Subtype[0].System != sysRestful || e.Subtype[0].Code != want.subtype || e.Action != want.action {
		return "type, subtype or action"
	}
	if e.Outcome != "0" || e.Recorded == "" {
		return "outcome 0 and recorded 1..1"
	}
	count := map[string]int{}
	for _, a := range e.Agent {
		code := a.Type.Coding[0].Code
		count[code]++
		switch {
		case code == "IRCP" && (!a.Requestor || a.Network != nil || a.Who.Identifier == nil):
			return "agent[user]: who 1..1, requestor true, network 0..0"
		case code != "IRCP" && (a.Network == nil || a.Who.Identifier == nil || a.Type.Coding[0].System != sysDICOM):
			return "agent[client] and agent[server]: who 1..1, network 1..1"
		}
	}
	if count[want.client] != 1 || count[want.server] != 1 || count["IRCP"] > 1 || e.Agent[0].Type.Coding[0].Code != want.client {
		return "agent: client 1..1, server 1..1, user 0..1"
	}
	var people, data, queries int
	for _, entity := range e.Entity {
		switch entity.Type.System + "#" + entity.Type.Code {
		case sysEntityType + "#1":
			people++
			if entity.Role == nil || entity.Role.Code != "1" || !strings.HasPrefix(entity.What.Reference, "Patient/") {
				return "entity[patient]: role Patient, what Reference(Patient)"
			}
		case sysEntityType + "#2":
			if name != "Query" {
				data++
				if entity.Role == nil || entity.Role.Code != "4" || entity.What == nil {
					return "entity[data]: role from RestObjectRoles, what 1..1"
				}
				continue
			}
			queries++
			if _, err := base64.StdEncoding.DecodeString(entity.Query); err != nil || entity.Query == "" || entity.What != nil || entity.Detail != nil || entity.Role.Code != "24" {
				return "entity[query]: role Query, query 1..1, what 0..0, detail 0..0"
			}
		case sysBasicAudit + "#XrequestId":
			if entity.What.Identifier.Value == "" {
				return "entity[transaction]: what.identifier.value 1..1"
			}
		}
	}
	switch {
	case patient && people != 1:
		return "entity[patient] 1..1"
	case name == "Query" && queries != 1, name != "Query" && data != 1:
		return "entity[data] or entity[query] 1..1"
	}
	return ""
}

// ocsfRequired is what OCSF 1.3 asks of class 6005 (its page "Datastore Activity",
// and those of the objects), spelt out here. Each is a path; a star is any index.
var ocsfRequired = []string{"activity_id", "category_uid", "class_uid", "severity_id", "time", "type_uid", "actor", "metadata", "src_endpoint",
	"metadata.version", "metadata.product", "database.type_id", "query_info.query_string"}

// ocsfIf are required where their object is there.
var ocsfIf = map[string]string{"device": "type_id"}

// ocsfOneOf are the constraints at_least_one.
var ocsfOneOf = map[string][]string{
	"":                 {"database", "databucket", "table"},
	"actor":            {"process", "user", "session", "app_name", "app_uid"},
	"actor.user":       {"account", "name", "uid"},
	"database":         {"name", "uid"},
	"device":           {"ip", "uid", "name", "hostname", "instance_uid", "interface_uid", "interface_name"},
	"metadata.product": {"name", "uid"},
	"src_endpoint":     {"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "interface_name", "domain"},
}

// TestOCSFSchema holds every row to the schema that OCSF published of the class in
// 1.2.0, closed: an attribute that it doesn't know, at whatever depth, is a fault.
func TestOCSFSchema(t *testing.T) {
	schema := ocsfSchema(t)
	fault := func(line string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	lines := splitLines(written(t, "ocsf"))
	for i, line := range lines {
		if err := fault(string(line)); err != nil {
			t.Errorf("row %d: %v\n%s", i, err, line)
		}
	}
	for _, bad := range [][2]string{{`"activity_id":1`, `"activity_id":11`}, {`"src_endpoint"`, `"source"`}, {`"time":1`, `"time":"1`}, {`"version":"1.3.0"`, `"versions":"1.3.0"`}} {
		line := strings.Replace(string(lines[0]), bad[0], bad[1], 1)
		if bad[1] == `"time":"1` {
			line = regexp.MustCompile(`"time":(\d+)`).ReplaceAllString(string(lines[0]), `"time":"$1"`)
		}
		if fault(line) == nil {
			t.Errorf("the schema takes an event with %s", bad[1])
		}
	}
}

// ocsfSchema is that schema, without what it asks of the profiles cloud and
// security_control, which no row claims, and with device, of the profile host.
func ocsfSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := os.ReadFile("testdata/ocsf-1.2-datastore_activity.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var shut func(v any)
	shut = func(v any) {
		object, _ := v.(map[string]any)
		for _, inner := range object {
			shut(inner)
		}
		if names, _ := object["properties"].(map[string]any); len(names) > 0 { // else it is free
			object["additionalProperties"] = false
		}
	}
	shut(v)
	class := v.(map[string]any)
	class["required"] = slices.DeleteFunc(class["required"].([]any), func(name any) bool { return name == "cloud" || name == "action_id" })
	class["properties"].(map[string]any)["device"] = map[string]any{"$ref": "#/$defs/device"}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("ocsf.json", v); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("ocsf.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestOCSF holds every row to that table.
func TestOCSF(t *testing.T) {
	for i, line := range splitLines(written(t, "ocsf")) {
		if fault := ocsfFault(t, line); fault != "" {
			t.Errorf("row %d: %s\n%s", i, fault, line)
		}
	}
	first := string(splitLines(written(t, "ocsf"))[0])
	for _, bad := range [][2]string{{`"type_uid":600501`, `"type_uid":600502`}, {`"src_endpoint"`, `"dst_endpoint"`}, {`"time":1`, `"time":14331`}, {`"class_uid":6005`, `"class_uid":6003`}} {
		if ocsfFault(t, []byte(strings.Replace(first, bad[0], bad[1], 1))) == "" {
			t.Errorf("an event with %s passes", bad[1])
		}
	}
}

func ocsfFault(t *testing.T, line []byte) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatal(err)
	}
	at := func(path string) any {
		var v any = e
		for name := range strings.SplitSeq(path, ".") {
			if path == "" {
				return v
			}
			object, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = object[name]
		}
		return v
	}
	for _, path := range ocsfRequired {
		if at(path) == nil {
			return path + " is required"
		}
	}
	for path, name := range ocsfIf {
		if at(path) != nil && at(path+"."+name) == nil {
			return path + "." + name + " is required"
		}
	}
	for path, names := range ocsfOneOf {
		object, ok := at(path).(map[string]any)
		one := !ok
		for _, name := range names {
			one = one || object[name] != nil
		}
		if !one {
			return fmt.Sprintf("%s has none of %v", path, names)
		}
	}
	activity := at("activity_id").(float64)
	if at("class_uid").(float64) != 6005 || at("category_uid").(float64) != 6 || at("type_uid").(float64) != 600500+activity {
		return "class_uid 6005, category_uid 6, type_uid class_uid * 100 + activity_id"
	}
	if name := ocsfActivities[int(activity)]; name == "" && activity != 99 || name != "" && at("activity_name") != name {
		return "activity_id isn't one of the class, or activity_name isn't its caption"
	}
	if s := at("severity_id").(float64); s < 0 || s > 6 {
		return "severity_id is 0 to 6"
	}
	if s := at("status_id").(float64); s != 1 && s != 2 {
		return "status_id"
	}
	if ms := at("time").(float64); ms != float64(int64(ms)) || ms < 1433116800000 || ms > 1433116801000 {
		return "time is milliseconds"
	}
	return ""
}

// TestCSV: no cell is a formula, and nothing is lost by that.
func TestCSV(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(written(t, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(examples())+1 {
		t.Fatalf("%d rows", len(rows))
	}
	guarded := 0
	for _, r := range rows {
		if len(r) != len(columns) {
			t.Errorf("%d cells", len(r))
		}
		for _, cell := range r {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("a spreadsheet takes %q for a formula", cell)
			}
			if strings.HasPrefix(cell, "'") {
				guarded++
			}
		}
	}
	if guarded != 2 {
		t.Errorf("%d cells are guarded, of the two that need it", guarded)
	}
	for _, cell := range []string{"=1+1", "@SUM(1)", "+1", "-1", "\t=1", "＝1+1", "\r=1"} {
		if harmless(cell) != "'"+cell {
			t.Errorf("%q goes out as it is", cell)
		}
	}
}
