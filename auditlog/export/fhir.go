package export

import (
	"encoding/base64"

	"azekura/auditlog"
)

// Code systems of FHIR R4 (AuditEvent, its bindings) and of the profiles.
const (
	sysEventType   = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	sysRestful     = "http://hl7.org/fhir/restful-interaction"
	sysEntityType  = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	sysObjectRole  = "http://terminology.hl7.org/CodeSystem/object-role"
	sysSourceType  = "http://terminology.hl7.org/CodeSystem/security-source-type"
	sysParticipate = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	sysDICOM       = "http://dicom.nema.org/resources/ontology/DCM"
	sysBasicAudit  = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
	balpProfile    = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
)

type (
	coding struct {
		System  string `json:"system"`
		Code    string `json:"code"`
		Display string `json:"display,omitempty"`
	}
	concept struct {
		Coding []coding `json:"coding,omitempty"`
		Text   string   `json:"text,omitempty"`
	}
	identifier struct {
		Value string `json:"value"`
	}
	reference struct {
		Reference  string      `json:"reference,omitempty"`
		Identifier *identifier `json:"identifier,omitempty"`
		Display    string      `json:"display,omitempty"`
	}
	fhirMeta struct {
		Profile []string `json:"profile,omitempty"`
	}
	fhirNetwork struct {
		Address string `json:"address"`
		Type    string `json:"type"`
	}
	fhirAgent struct {
		Type         *concept     `json:"type,omitempty"`
		Role         []concept    `json:"role,omitempty"`
		Who          reference    `json:"who"`
		Requestor    bool         `json:"requestor"`
		Network      *fhirNetwork `json:"network,omitempty"`
		PurposeOfUse []concept    `json:"purposeOfUse,omitempty"`
	}
	fhirSource struct {
		Site     string    `json:"site"`
		Observer reference `json:"observer"`
		Type     []coding  `json:"type"`
	}
	fhirDetail struct {
		Type  string `json:"type"`
		Value string `json:"valueString"`
	}
	fhirEntity struct {
		What   *reference   `json:"what,omitempty"`
		Type   *coding      `json:"type,omitempty"`
		Role   *coding      `json:"role,omitempty"`
		Query  string       `json:"query,omitempty"`
		Detail []fhirDetail `json:"detail,omitempty"`
	}
	auditEvent struct {
		ResourceType   string       `json:"resourceType"`
		ID             string       `json:"id"`
		Meta           *fhirMeta    `json:"meta,omitempty"`
		Type           coding       `json:"type"`
		Subtype        []coding     `json:"subtype,omitempty"`
		Action         string       `json:"action"`
		Recorded       string       `json:"recorded"`
		Outcome        string       `json:"outcome"`
		OutcomeDesc    string       `json:"outcomeDesc,omitempty"`
		PurposeOfEvent []concept    `json:"purposeOfEvent,omitempty"`
		Agent          []fhirAgent  `json:"agent"`
		Source         fhirSource   `json:"source"`
		Entity         []fhirEntity `json:"entity,omitempty"`
	}
)

// shape is how an action is told in FHIR: a profile of BALP where one fits, and
// DICOM's event types elsewhere.
type shape struct {
	profile string // without its Patient- variant
	kind    coding
	subtype coding
	action  string // C, R, U, D, E
	// fromServer says that data flows from the server to the client, as in a read.
	fromServer bool
}

var rest = coding{sysEventType, "rest", "Restful Operation"}

func shapeOf(r row) shape {
	read := shape{"Read", rest, coding{sysRestful, "read", "read"}, "R", true}
	query := shape{"Query", rest, coding{sysRestful, "search", "search"}, "E", false}
	update := shape{"Update", rest, coding{sysRestful, "update", "update"}, "U", false}
	dicom := func(code, display, action string) shape {
		return shape{kind: coding{sysDICOM, code, display}, action: action, subtype: coding{"urn:azekura:action", r.Action.String(), ""}}
	}
	switch r.Action {
	case auditlog.Read:
		return read
	case auditlog.Show, auditlog.Search, auditlog.Check, auditlog.Checked:
		return query
	case auditlog.Change:
		return update
	case auditlog.Shred:
		return shape{"Delete", rest, coding{sysRestful, "delete", "delete"}, "D", false}
	case auditlog.Set:
		if r.member == nil {
			return dicom("110110", "Patient Record", map[bool]string{true: "R", false: "U"}[r.Set.Opens])
		}
		if r.Set.Opens {
			return read
		}
		return update
	case auditlog.Index:
		return dicom("110110", "Patient Record", "R")
	case auditlog.Export:
		return dicom("110106", "Export", "R")
	case auditlog.Deny, auditlog.Alarm, auditlog.Contain:
		return dicom("110113", "Security Alert", "E")
	case auditlog.Grant:
		return dicom("110137", "User Security Attributes Changed", "E")
	}
	return dicom("110100", "Application Activity", "E")
}

func fhirEvent(origin string, r row) any {
	s := shapeOf(r)
	e := auditEvent{ResourceType: "AuditEvent", ID: number(r.Log) + "-" + rowID(r), Type: s.kind, Action: s.action, Recorded: instant(r.Time),
		Outcome: "0", OutcomeDesc: r.Outcome, Agent: agents(origin, r, s), Entity: entities(r, s),
		Source: fhirSource{Site: origin, Observer: reference{Identifier: &identifier{origin}}, Type: []coding{{sysSourceType, "4", "Application Server"}}}}
	if r.Action == auditlog.Deny || r.Outcome == "refused" {
		e.Outcome = "4" // minor failure
	}
	// The profiles are of successes.
	if s.profile != "" && e.Outcome == "0" {
		name := s.profile
		if r.participant() != (auditlog.ID{}) {
			name = "Patient" + name
		}
		e.Meta = &fhirMeta{Profile: []string{balpProfile + name}}
	}
	e.Subtype = []coding{s.subtype}
	if r.Purpose != "" {
		e.PurposeOfEvent = []concept{{Text: r.Purpose}}
	}
	return e
}

// agents are the client (the device), the server and, where there is one, the
// staff member who asked. DICOM's roles follow the data, queries apart.
func agents(origin string, r row, s shape) []fhirAgent {
	source := &concept{Coding: []coding{{sysDICOM, "110153", "Source Role ID"}}}
	destination := &concept{Coding: []coding{{sysDICOM, "110152", "Destination Role ID"}}}
	client, server := source, destination
	if s.fromServer {
		client, server = destination, source
	}
	device := r.Device
	if device == "" {
		device = "azekura"
	}
	list := []fhirAgent{
		{Type: client, Who: reference{Identifier: &identifier{device}}, Network: &fhirNetwork{device, "1"}, Requestor: r.Staff == ""},
		{Type: server, Who: reference{Identifier: &identifier{origin}}, Network: &fhirNetwork{origin, "1"}},
	}
	if r.Staff != "" {
		user := fhirAgent{Type: &concept{Coding: []coding{{sysParticipate, "IRCP", "information recipient"}}}, Requestor: true,
			Who: reference{Identifier: &identifier{r.Staff}}}
		if r.Role != "" {
			user.Role = []concept{{Text: r.Role}}
		}
		if r.Purpose != "" {
			user.PurposeOfUse = []concept{{Text: r.Purpose}}
		}
		list = append(list, user)
	}
	return list
}

// entities are the participant, what was read or asked, the request, and what is
// left over.
func entities(r row, s shape) (list []fhirEntity) {
	system := &coding{sysEntityType, "2", "System Object"}
	id := r.participant()
	if id != (auditlog.ID{}) {
		list = append(list, fhirEntity{What: &reference{Reference: "Patient/" + id.String()}, Type: &coding{sysEntityType, "1", "Person"},
			Role: &coding{sysObjectRole, "1", "Patient"}})
	}
	if s.profile == "Query" {
		// What was searched for is personal data and isn't in the log; by what, is.
		asked := r.Action.String()
		if len(r.Detail) > 0 {
			asked += " " + string(r.Detail)
		}
		if fields := spell(r); fields != "" {
			asked += " " + fields
		}
		list = append(list, fhirEntity{Type: system, Role: &coding{sysObjectRole, "24", "Query"}, Query: base64.StdEncoding.EncodeToString([]byte(asked))})
	} else {
		list = append(list, record(r, system))
	}
	if r.Request != "" {
		list = append(list, fhirEntity{What: &reference{Identifier: &identifier{r.Request}}, Type: &coding{sysBasicAudit, "XrequestId", ""}})
	}
	if d := circumstances(r); len(d) > 0 {
		list = append(list, fhirEntity{What: &reference{Identifier: &identifier{number(r.Log) + "-" + number(r.Index)}},
			Type: &coding{sysEntityType, "4", "Other"}, Detail: d})
	}
	return list
}

// record is what was read or written: the fields with the version of each.
func record(r row, system *coding) fhirEntity {
	e := fhirEntity{What: &reference{Identifier: &identifier{"register"}}, Type: system, Role: &coding{sysObjectRole, "4", "Domain Resource"}}
	if id := r.participant(); id != (auditlog.ID{}) {
		e.What = &reference{Identifier: &identifier{"record/" + id.String()}}
	}
	for _, fv := range r.fields() {
		e.Detail = append(e.Detail, fhirDetail{fv.Field.String(), "version " + number(fv.Version)})
	}
	return e
}

// circumstances are what AuditEvent has no element for.
func circumstances(r row) (d []fhirDetail) {
	add := func(kind, value string) {
		if value != "" {
			d = append(d, fhirDetail{kind, value})
		}
	}
	add("case", r.Case)
	if r.Session != 0 {
		add("session", r.Session.String())
		add("session_seq", number(r.SessionSeq))
	}
	if r.Participant != (auditlog.ID{}) {
		add("participant_seq", number(r.ParticipantSeq))
	}
	if s := r.Set; s != nil {
		add("set_root", s.Root.String())
		add("set_count", number(s.Count))
		add("set_job", s.Job)
	}
	if shapeOf(r).profile != "Query" {
		add("detail", string(r.Detail))
	}
	return d
}
