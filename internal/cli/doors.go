package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"azekura/access"
	"azekura/api"
	"azekura/cases"
	"azekura/register/field"

	"github.com/spf13/cobra"
)

func whoFlags(cmd *cobra.Command, w *api.Whom, r *api.Reason) {
	cmd.Flags().StringVar(&w.Ref, "ref", "", "the agency's own key of the participant")
	cmd.Flags().StringVar(&w.Participant, "participant", "", "the participant's pseudonym, in place of --ref")
	whyFlags(cmd, r)
}

func whyFlags(cmd *cobra.Command, r *api.Reason) {
	cmd.Flags().StringVar(&r.Purpose, "purpose", "", "why: enquiry, application, change, visit, letter, death, review or audit")
	cmd.Flags().StringVar(&r.Case, "case", "", "the case's code")
}

func (a *app) readCommand() *cobra.Command {
	var r api.ReadRequest
	var fields string
	cmd := &cobra.Command{
		Use:     "read --ref REF --fields name,birth --purpose P --case C",
		Short:   "Open fields of one participant",
		Long:    "read opens fields of one participant, once that is in the audit log.\n" + touchHelp + askHelp + "--ref, --touch.",
		Example: "  azekura read --ref A0000001 --fields name,birth --purpose enquiry --case C-1 --json",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ask := newAsker(cmd)
		if err := ask.fill("ref", &r.Ref); err != nil {
			return err
		}
		r.Fields = strings.Split(fields, ",")
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			if err := touchToRead(ctx, cmd, ask, c, &r); err != nil {
				return err
			}
			var answer api.ReadAnswer
			if err := c.Do(ctx, http.MethodPost, "/v1/read", r, &answer); err != nil {
				return err
			}
			return print(cmd, *asJSON, answer, func(w io.Writer) { writeAnswer(w, &answer) })
		})
	}
	whoFlags(cmd, &r.Whom, &r.Reason)
	cmd.Flags().StringVar(&fields, "fields", "name,birth", "number, name, kana, romaji, birth, sex, address, phone, email, account, ref")
	cmd.Flags().Int64Var(&r.Version, "version", 0, "an earlier version of the record; 0 is the newest")
	touchFlag(cmd, &r.Touch, "read CASE FIELD,FIELD")
	a.tokenFlag(cmd)
	return cmd
}

const touchHelp = `
Fields that weren't named when the case was opened by a touch take another, for just this
reading: at a terminal, and with --touch -, it says so and asks for the touch's code.
`

// touchToRead asks for a touch's code where one is to be asked for, or somebody is there who
// can give it and the case was opened by a touch for other fields: the strict policies would
// refuse, and malware alone asks for what they refuse.
func touchToRead(ctx context.Context, cmd *cobra.Command, ask *asker, c *api.Client, r *api.ReadRequest) error {
	fields, err := field.ParseSet(strings.Join(r.Fields, ","))
	if err != nil || r.Touch.Touch != "-" && (r.Touch.Touch != "" || ask.prompt == nil || !undeclared(ctx, c, r.Case, fields)) {
		return nil // and the server says what is wrong with the fields
	}
	fmt.Fprintf(cmd.ErrOrStderr(), touchFor, access.ReadFields(r.Case, fields))
	r.Touch.Touch = "-"
	return ask.fill(shownCode, &r.Touch.Touch)
}

// undeclared tells whether a case was opened by a touch, and not for all of these fields.
// Of a case that doesn't show itself the server says why.
func undeclared(ctx context.Context, c *api.Client, room string, fields field.Set) bool {
	var of api.CaseAnswer
	if !cases.IsCode(room) || c.Do(ctx, http.MethodPost, "/v1/cases/show", api.ShowCase{CaseCode: api.CaseCode{Case: room}}, &of) != nil || !of.Touched || len(of.Fields) == 0 {
		return false
	}
	named, err := field.ParseSet(strings.Join(of.Fields, ","))
	return err == nil && !named.Contains(fields)
}

func writeAnswer(w io.Writer, a *api.ReadAnswer) {
	v := &a.Values
	for _, line := range []struct{ name, text string }{{"number", v.Number}, {"name", v.Name}, {"kana", v.Kana}, {"romaji", v.Romaji},
		{"birth", v.Birth}, {"sex", v.Sex}, {"phone", v.Phone}, {"email", v.Email}, {"ref", v.Ref}} {
		if line.text != "" {
			fmt.Fprintf(w, "%s\t%s\n", line.name, line.text)
		}
	}
	if v.Address != nil {
		fmt.Fprintf(w, "address\t%s %s\n", v.Address.PostalCode, v.Address.Text)
	}
	if v.Account != nil {
		fmt.Fprintf(w, "account\t%s-%s %s %s %s\n", v.Account.Bank, v.Account.Branch, v.Account.Type, v.Account.Number, v.Account.Holder)
	}
	fmt.Fprintf(w, "participant\t%s, version %d\nevent\t%d of the audit log\n", a.Participant, a.Version, a.Event)
}

func (a *app) checkCommand() *cobra.Command {
	var r api.CheckRequest
	cmd := &cobra.Command{
		Use:     "check --ref REF --field birth --claim - --purpose P --case C",
		Short:   "Compare what a caller says with a sealed field: yes or no",
		Long:    "check compares what a caller says with a sealed field, inside, and answers yes or no.\n" + askHelp + "--ref, --claim.",
		Example: "  azekura check --ref A0000001 --field birth --claim - --purpose enquiry --case C-1",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ask := newAsker(cmd)
		if err := errors.Join(ask.fill("ref", &r.Ref), ask.fill("claim", &r.Claim)); err != nil {
			return err
		}
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var answer api.CheckAnswer
			if err := c.Do(ctx, http.MethodPost, "/v1/check", r, &answer); err != nil {
				return err
			}
			return print(cmd, *asJSON, answer, func(w io.Writer) {
				fmt.Fprintln(w, map[bool]string{true: "yes, it matches", false: "no, it doesn't match"}[answer.Match])
			})
		})
	}
	whoFlags(cmd, &r.Whom, &r.Reason)
	cmd.Flags().StringVar(&r.Field, "field", "", "the field")
	cmd.Flags().StringVar(&r.Claim, "claim", "", "what the caller says; - to be asked for it")
	a.tokenFlag(cmd)
	return cmd
}

var errSearchBy = errors.New("search by one of --number, --ref, --name, --kana, --postal and --phone")

// openHelp says how a search opens its case.
const openHelp = `
With --open KIND it first opens a case for this search and no other, as the strict
policies want it: it says what to touch your key for at /signin/session, asks for the code that
the page shows, and prints the case's code.
`

// What asks for a touch's code.
const (
	touchFor  = "Touch your key at /signin/session, within two minutes, for\n  %s\n"
	shownCode = "the code that it shows"
)

// openFor opens a case for a search.
func openFor(ctx context.Context, cmd *cobra.Command, ask *asker, c *api.Client, open *api.NewCase, r *api.SearchRequest) error {
	if r.Case != "" {
		return errors.New("--open opens the search's case: leave --case out")
	}
	r.Salt = rand.Text()
	hash, err := cases.Seek(r.Salt, r.By, r.Value, r.Birth)
	if err != nil {
		return err
	}
	var need field.Set
	if len(open.Fields) > 0 {
		if need, err = field.ParseSet(strings.Join(open.Fields, ",")); err != nil {
			return err
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), touchFor, access.OpenCase(open.Kind, need, hash))
	if err := ask.fill(shownCode, &open.Touch.Touch); err != nil {
		return err
	}
	open.For = []string{hash}
	var info cases.Info
	if err := c.Do(ctx, http.MethodPost, "/v1/cases", open, &info); err != nil {
		return err
	}
	r.Case = info.Code
	fmt.Fprintf(cmd.ErrOrStderr(), "case %s\n", info.Code)
	return nil
}

func (a *app) searchCommand() *cobra.Command {
	var r api.SearchRequest
	var open api.NewCase
	by := map[string]*string{"number": new(string), "ref": new(string), "kana": new(string), "name": new(string), "postal": new(string), "phone": new(string)}
	index := map[string]string{"number": "number", "ref": "ref", "kana": "kana_birth", "name": "name_birth", "postal": "postal_birth", "phone": "phone"}
	cmd := &cobra.Command{
		Use:     "search (--number N | --ref R | --name N | --kana K | --postal P | --phone P) --birth B --purpose P --case C",
		Short:   "Find participants; candidates come masked",
		Long:    "search finds participants by one of their indexes and the date of birth: whoever counts\nthrough numbers knows nobody's. Candidates come masked, and each mask shown is an opening.\n" + openHelp + askHelp + "what is searched by, --birth.",
		Example: "  azekura search --name - --birth - --purpose enquiry --open call --fields address",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for name, text := range by {
			if *text == "" {
				continue
			}
			if r.By != "" {
				return errSearchBy
			}
			r.By, r.Value = index[name], *text
		}
		if r.By == "" {
			return errSearchBy
		}
		if r.Birth == "" {
			return errors.New("a search wants a date of birth beside it: --birth")
		}
		ask := newAsker(cmd)
		if err := errors.Join(ask.fill(r.By, &r.Value), ask.fill("birth", &r.Birth)); err != nil {
			return err
		}
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var answer api.SearchAnswer
			if open.Kind != "" {
				if err := openFor(ctx, cmd, ask, c, &open, &r); err != nil {
					return err
				}
			}
			if err := c.Do(ctx, http.MethodPost, "/v1/search", r, &answer); err != nil {
				return err
			}
			return print(cmd, *asJSON, answer, func(w io.Writer) {
				if len(answer.Candidates) == 0 {
					fmt.Fprintln(w, "Nobody is found by that.")
				}
				for _, c := range answer.Candidates {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Participant, c.Name, c.Birth, c.Address)
				}
			})
		})
	}
	for name, help := range map[string]string{"number": "a basic pension number", "ref": "the agency's own key", "kana": "a name in kana",
		"name": "a name", "postal": "a postal code", "phone": "a telephone number"} {
		cmd.Flags().StringVar(by[name], name, "", help)
	}
	cmd.Flags().StringVar(&r.Birth, "birth", "", "the date of birth, which every search takes: 1950-04-12, or 昭和25年4月12日, or S25.4.12")
	whyFlags(cmd, &r.Reason)
	cmd.Flags().StringVar(&open.Kind, "open", "", "open a case of this kind for this search, in place of --case")
	cmd.Flags().StringSliceVar(&open.Fields, "fields", nil, "with --open: what is to be read in the case, like name,birth,address")
	cmd.Flags().StringVar(&open.Touch.Touch, "touch", "-", "with --open: the touch's code; - asks for it")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) changeCommand() *cobra.Command {
	var r api.ChangeRequest
	var set map[string]string
	cmd := &cobra.Command{
		Use:   "change --ref REF --set FIELD=TEXT… --purpose P --case C",
		Short: "Make a new version of a participant",
		Long:  "change makes a new version of a participant's record; earlier ones stay readable.\n" + askHelp + "--ref, then the\nfields by their names from a to z: --set name=- --set phone=-",
		Example: `  azekura change --ref A0000001 --set phone=- --purpose change --case C-2
  azekura change --ref A0000001 --set phone=03-0000-0000 --set address="1000005 東京都千代田区丸の内1-1-1" --purpose change --case C-2`,
		Args: cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ask := newAsker(cmd)
		if err := ask.fill("ref", &r.Ref); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(set)) {
			text := set[name]
			if err := errors.Join(ask.fill(name, &text), put(&r.Values, name, text)); err != nil {
				return err
			}
		}
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var answer api.ChangeAnswer
			if err := c.Do(ctx, http.MethodPost, "/v1/change", r, &answer); err != nil {
				return err
			}
			return print(cmd, *asJSON, answer, func(w io.Writer) {
				fmt.Fprintf(w, "Version %d is written (event %d of the audit log).\n", answer.Version, answer.Event)
			})
		})
	}
	whoFlags(cmd, &r.Whom, &r.Reason)
	cmd.Flags().StringToStringVar(&set, "set", nil, "a field and its new text, or - to be asked for it; an address is a postal code, a space and the text; an account is bank/branch/type/number/holder")
	cmd.Flags().StringSliceVar(&r.Clear, "clear", nil, "fields to empty")
	a.tokenFlag(cmd)
	return cmd
}

// put sets a field of the request from the command line's text.
func put(v *api.Values, name, text string) error {
	plain := map[string]*string{"number": &v.Number, "name": &v.Name, "kana": &v.Kana, "romaji": &v.Romaji, "birth": &v.Birth,
		"sex": &v.Sex, "phone": &v.Phone, "email": &v.Email, "ref": &v.Ref}
	switch to := plain[name]; {
	case to != nil:
		*to = text
	case name == "address":
		postal, rest, ok := strings.Cut(strings.TrimSpace(text), " ")
		if !ok {
			return errors.New("an address is a postal code, a space and the text")
		}
		v.Address = &api.Address{PostalCode: postal, Text: rest}
	case name == "account":
		parts := strings.Split(text, "/")
		if len(parts) != 5 {
			return errors.New("an account is bank/branch/type/number/holder")
		}
		v.Account = &api.Account{Bank: parts[0], Branch: parts[1], Type: parts[2], Number: parts[3], Holder: parts[4]}
	default:
		return errors.New("--set takes a field of the record: number, name, kana, romaji, birth, sex, address, phone, email, account or ref")
	}
	return nil
}
