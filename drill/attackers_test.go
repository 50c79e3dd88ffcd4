package drill_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"azekura/population"
)

// act plays attackers from outside: they know PROTOCOL.md and the API, and
// nothing of this module.
func act(part string) error {
	out, err := os.OpenFile(os.Getenv("AZEKURA_DRILL_OUT"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	switch part {
	case "liar":
		return lie(out)
	case "boaster":
		return boast(out)
	}
	return fmt.Errorf("no attacker is called %s", part)
}

// lie obtains one record and makes up the rest.
func lie(out *os.File) error {
	var got struct {
		Participant string          `json:"participant"`
		Values      json.RawMessage `json:"values"`
	}
	if err := ask("/v1/read", `{"ref":"A0000007","fields":["number","name"],"purpose":"enquiry","case":"C-1"}`, &got); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, `{"participant":%[1]q,"ref":"A0000007","fields":["number","name"],"values":%[2]s}
{"participant":"01890000-0000-7000-8000-000000000000","fields":["number"]}
{"participant":%[1]q,"ref":"Z9999999","fields":["number"]}
{"participant":%[1]q,"fields":["name"],"values":{"name":"山田　太郎丸"}}
{"participant":%[1]q,"fields":["everything"]}
`, got.Participant, got.Values)
	return err
}

// boast sees a mask and claims the number.
func boast(out *os.File) error {
	var got struct {
		Candidates []struct {
			Participant string `json:"participant"`
		} `json:"candidates"`
	}
	var p population.Person
	for g, i := population.New(2015), 0; i < 9; i++ { // whom the thief knows from elsewhere
		g.Next(&p)
	}
	if err := ask("/v1/search", `{"by":"ref","value":"A0000009","birth":"`+p.Birth+`","purpose":"enquiry","case":"C-1"}`, &got); err != nil {
		return err
	}
	if len(got.Candidates) != 1 {
		return fmt.Errorf("%d candidates", len(got.Candidates))
	}
	_, err := fmt.Fprintf(out, `{"participant":%q,"fields":["existence","mask","number"]}`+"\n", got.Candidates[0].Participant)
	return err
}

func ask(path, body string, into any) error {
	pem, err := os.ReadFile(os.Getenv("AZEKURA_DRILL_CA"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	r, err := http.NewRequest(http.MethodPost, os.Getenv("AZEKURA_DRILL_URL")+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+os.Getenv("AZEKURA_DRILL_TOKEN"))
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(into)
}
