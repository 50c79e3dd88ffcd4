package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"azekura/api"
	"azekura/cases"

	"github.com/spf13/cobra"
)

func (a *app) caseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "case",
		Short: "Open, assign, identify and close cases: why a record may be opened",
		Long: `A case is a call, a visit, a letter or an application, and why a record may be
opened. Whose it is, what it may open and for which purposes is asked at each
opening; check answers identify whom it is about.

The strict policies open nothing for a case whose opener didn't touch their key for
it and for the search that is made in it, since malware on a PC can't: azekura search
--open KIND opens a case so. A review takes no search: touch the key for "open review
name,birth" at /signin/session, and give the code with --touch and the same --kind and
--fields. Fields that weren't named take a touch for each reading.`,
		Example: `  azekura search --number - --birth - --purpose enquiry --open call --fields name,birth
  azekura check --ref A0000001 --field birth --claim - --purpose enquiry --case C-…
  azekura case identify C-… --ref A0000001`,
	}
	cmd.AddCommand(a.caseOpenCommand(), a.caseListCommand(), a.caseShowCommand(), a.caseAssignCommand(), a.caseIdentifyCommand(), a.caseNoteCommand(),
		a.caseTaskCommand(), a.caseWaitCommand("wait", "Set a case to wait: nothing is opened for it meanwhile", true),
		a.caseWaitCommand("resume", "Take a waiting case up again", false), a.caseCloseCommand(), a.caseReopenCommand(), a.caseRequireCommand())
	return cmd
}

// caseAct asks for one act and prints the case as it is then.
func (a *app) caseAct(cmd *cobra.Command, asJSON *bool, path string, in any) error {
	return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
		var info cases.Info
		if err := c.Do(ctx, http.MethodPost, "/v1/cases"+path, in, &info); err != nil {
			return err
		}
		return print(cmd, *asJSON, info, func(w io.Writer) { writeCase(w, &info) })
	})
}

func writeCase(w io.Writer, i *cases.Info) {
	state := i.State
	if i.Outcome != "" {
		state += ", " + i.Outcome
	}
	if i.Touched {
		state += ", opened by a touch"
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s, office %s\t%s\n", i.Code, i.Kind, state, i.Staff, i.Office, i.Opened.Format(time.RFC3339))
	for _, p := range i.People {
		what := "only checked"
		if p.About {
			what = "about them"
		}
		seen := strings.Join(append(append([]string{}, p.Checked...), p.Documents...), ", ")
		fmt.Fprintf(w, "  %s\t%s\tidentified: level %d\t%s\t%d wrong, %d notes\n", p.Participant, what, p.Level, seen, p.Wrong, p.Notes)
	}
	for _, t := range i.Tasks {
		fmt.Fprintf(w, "  task %d\t%s\tdue %s\t%s\n", t.No, t.Kind, t.Due, map[bool]string{true: "done", false: "to do"}[t.Done])
	}
}

// touchFlag takes the code of a touch for an act.
func touchFlag(cmd *cobra.Command, t *api.Touch, act string) {
	cmd.Flags().StringVar(&t.Touch, "touch", "", `the code of a touch of your key for "`+act+`", from the page /signin/session; it is good once, for two minutes`)
}

func (a *app) caseOpenCommand() *cobra.Command {
	var in api.NewCase
	cmd := &cobra.Command{Use: "open --kind KIND", Short: "Open a case, and print its code", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.caseAct(cmd, asJSON, "", in) }
	cmd.Flags().StringVar(&in.Kind, "kind", "", strings.Join(cases.KindNames(), ", "))
	cmd.Flags().StringVar(&in.Staff, "staff", "", "whom a supervisor opens it for; oneself, if absent")
	cmd.Flags().StringSliceVar(&in.Fields, "fields", nil, "what is to be read in it, like name,birth,address")
	touchFlag(cmd, &in.Touch, "open KIND FIELD,FIELD")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseListCommand() *cobra.Command {
	var in api.CaseList
	cmd := &cobra.Command{Use: "list", Short: "List your cases that aren't closed", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var answer api.CasesAnswer
			if err := c.Do(ctx, http.MethodPost, "/v1/cases/list", in, &answer); err != nil {
				return err
			}
			return print(cmd, *asJSON, answer.Cases, func(w io.Writer) {
				for n := range answer.Cases {
					writeCase(w, &answer.Cases[n])
				}
			})
		})
	}
	cmd.Flags().BoolVar(&in.Office, "office", false, "those of the whole office, for a supervisor")
	cmd.Flags().IntVar(&in.Limit, "limit", 100, "at most so many, the oldest first")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseShowCommand() *cobra.Command {
	var in api.ShowCase
	cmd := &cobra.Command{Use: "show CASE", Short: "Show a case and its history", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		return a.withSession(cmd, func(ctx context.Context, c *api.Client) error {
			var answer api.CaseAnswer
			if err := c.Do(ctx, http.MethodPost, "/v1/cases/show", in, &answer); err != nil {
				return err
			}
			return print(cmd, *asJSON, answer, func(w io.Writer) {
				writeCase(w, &answer.Info)
				for _, n := range answer.Notes {
					fmt.Fprintf(w, "note %d (event %d)\n%s\n", n.No, n.Event, n.Text)
				}
				for _, s := range answer.History {
					fmt.Fprintf(w, "event %d\t%s\t%s\t%s\t%s\t%s\n", s.Event, s.Time.Format(time.RFC3339), s.Staff, s.Act, s.What, s.To)
				}
			})
		})
	}
	cmd.Flags().BoolVar(&in.Notes, "notes", false, "open its notes too; that is an event of its own")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseAssignCommand() *cobra.Command {
	var in api.CaseStaff
	cmd := &cobra.Command{Use: "assign CASE --staff S", Short: "Give a case to somebody else of its office", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		return a.caseAct(cmd, asJSON, "/assign", in)
	}
	cmd.Flags().StringVar(&in.Staff, "staff", "", "who has it from now on")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseIdentifyCommand() *cobra.Command {
	var in api.IdentifyRequest
	cmd := &cobra.Command{
		Use:   "identify CASE --ref REF",
		Short: "Say whom a case is about, once checks have identified them",
		Long: `identify says whom a case is about. Two right answers to azekura check, one of them
to the number or the date of birth, are level 1; three, or one beside a document,
are level 2; two beside a document are level 3. What a purpose asks for:
enquiry, letter, visit and death 1; application, change, review and audit 2.
` + askHelp + "--ref.",
		Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		if err := newAsker(cmd).fill("ref", &in.Ref); err != nil {
			return err
		}
		return a.caseAct(cmd, asJSON, "/identify", in)
	}
	cmd.Flags().StringVar(&in.Ref, "ref", "", "the agency's own key of the participant")
	cmd.Flags().StringVar(&in.Participant, "participant", "", "the participant's pseudonym, in place of --ref")
	cmd.Flags().StringVar(&in.Document, "document", "", "what they showed: "+strings.Join(cases.Documents, ", "))
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseNoteCommand() *cobra.Command {
	var in api.NoteRequest
	cmd := &cobra.Command{
		Use:   "note CASE",
		Short: "Write a note into a case; the text is asked for, or read from the input",
		Long:  "note writes a note, sealed under the key of whom the case is about.\n" + askHelp + "the text.",
		Args:  cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		// Never an argument, which others on the machine could see.
		in.Text = "-"
		if err := newAsker(cmd).fill("note", &in.Text); err != nil {
			return err
		}
		return a.caseAct(cmd, asJSON, "/note", in)
	}
	cmd.Flags().StringVar(&in.Participant, "participant", "", "whom it is about, where the case is about two")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseTaskCommand() *cobra.Command {
	var in api.TaskRequest
	cmd := &cobra.Command{
		Use:   "task CASE (--add KIND --due DAY | --done NO)",
		Short: "Add something to do to a case, or say that it is done",
		Args:  cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		return a.caseAct(cmd, asJSON, "/task", in)
	}
	cmd.Flags().StringVar(&in.Kind, "add", "", strings.Join(cases.TaskKinds, ", "))
	cmd.Flags().StringVar(&in.Due, "due", "", "a day in Japan: 2026-12-01")
	cmd.Flags().IntVar(&in.Done, "done", 0, "the number of the task that is done")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseWaitCommand(name, short string, waiting bool) *cobra.Command {
	cmd := &cobra.Command{Use: name + " CASE", Short: short, Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.caseAct(cmd, asJSON, "/wait", api.WaitRequest{CaseCode: api.CaseCode{Case: args[0]}, Waiting: waiting})
	}
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseCloseCommand() *cobra.Command {
	var in api.CloseRequest
	cmd := &cobra.Command{Use: "close CASE --outcome OUTCOME", Short: "Close a case", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		return a.caseAct(cmd, asJSON, "/close", in)
	}
	cmd.Flags().StringVar(&in.Outcome, "outcome", "done", strings.Join(cases.Outcomes, ", "))
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseReopenCommand() *cobra.Command {
	var in api.ReopenRequest
	cmd := &cobra.Command{
		Use:   "reopen CASE",
		Short: "Open a closed case again, as a supervisor, for who had it or for --staff",
		Long: `reopen opens a closed case again, or lets one go on in which there were ` + strconv.Itoa(cases.MaxWrong) + ` wrong
answers. A supervisor of its office does it for somebody else. Whom it is about
stays; who they are must be checked anew.`,
		Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Case = args[0]
		return a.caseAct(cmd, asJSON, "/reopen", in)
	}
	cmd.Flags().StringVar(&in.Staff, "staff", "", "who has it from now on; who had it, if absent")
	touchFlag(cmd, &in.Touch, "reopen CASE")
	a.tokenFlag(cmd)
	return cmd
}

func (a *app) caseRequireCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "require",
		Short: "From now on let every opening take a case that exists; this can't be taken back",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *api.Client) error {
				var answer struct{}
				if err := c.Do(ctx, http.MethodPost, "/operator/cases/require", struct{}{}, &answer); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "Every opening takes a case from now on.")
				return nil
			})
		},
	}
}
