// Package client asks witnesses to cosign a log's heads, and keeps mirrors fed.
//
// It asks all n witnesses and needs k of them, behind the log's back: nobody waits
// for it. It has one request under way a witness, always for the newest head, so
// no backlog grows while one is away. What k witnesses cosigned is kept in a file
// beside the signer's state.
//
// It promises that the lag is known: how long the oldest head that k witnesses
// haven't cosigned waits already. Past a bound bulk work waits, and past another
// single openings are refused, each as it is configured. And it promises that a
// folder which was put back whole, or a log that was rewritten and signed again
// with its own key, is refused as soon as one witness shows the other history's
// head, or a quorum, two or more, says that it saw one: each witness is asked when
// the log opens and at every head after.
//
// What it can't do: find a log that was rewritten from the beginning if no witness
// that it is configured with saw the first one. A witness that lies can hold
// openings up until it cosigns or is forgotten; it can't stop the log for good, and
// can't make a false one accepted.
package client
