package city

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// TimeRequests is the filter of all gateways' questions for the time.
const TimeRequests = "presence/v1/+/+/time/request"

// maxTX bounds a transaction id in bytes.
const maxTX = 128

// AnswerTime answers a gateway's question for the time: utc is when it came in.
// It returns where to publish the answer, at QoS 0 and not retained. What is no
// question has no answer.
func AnswerTime(topic string, question []byte, utc time.Time) (reply string, answer []byte, ok bool) {
	return AnswerTimeSigned(topic, question, utc, nil)
}

// AnswerTimeSigned is AnswerTime with a signature by the city's key: gateways that
// know the city by its key take no other answer. With a nil key it is not signed.
func AnswerTimeSigned(topic string, question []byte, utc time.Time, key ed25519.PrivateKey) (reply string, answer []byte, ok bool) {
	gateway, ok := strings.CutSuffix(topic, "/time/request")
	if !ok || strings.Count(gateway, "/") != 3 || !strings.HasPrefix(gateway, "presence/v1/") {
		return "", nil, false
	}
	var asked struct {
		TX string `json:"tx"`
	}
	if len(question) > 4*maxTX || json.Unmarshal(question, &asked) != nil || asked.TX == "" || len(asked.TX) > maxTX || strings.Contains(asked.TX, "\n") {
		return "", nil, false
	}
	said := struct {
		TX  string `json:"tx"`
		UTC string `json:"utc"`
		Sig string `json:"sig,omitempty"`
	}{TX: asked.TX, UTC: utc.UTC().Format(time.RFC3339Nano)}
	if key != nil {
		address := strings.Split(gateway, "/")
		said.Sig = sign(key, "gatewayd time v1", address[2], address[3], said.TX, said.UTC)
	}
	answer, err := json.Marshal(said)
	return gateway + "/time/reply", answer, err == nil
}

// SignReceipt is the payload of a receipt: the city's database has all events of a
// stream of a gateway up to one. With a nil key it is not signed.
func SignReceipt(dinas, gateway, stream string, upto uint64, key ed25519.PrivateKey) ([]byte, error) {
	said := struct {
		Stream string `json:"stream"`
		Upto   uint64 `json:"upto"`
		Sig    string `json:"sig,omitempty"`
	}{Stream: stream, Upto: upto}
	if key != nil {
		said.Sig = sign(key, "gatewayd receipt v1", dinas, gateway, stream, strconv.FormatUint(upto, 10))
	}
	return json.Marshal(said)
}

// sign signs the name of a statement and its fields, joined by line feeds.
func sign(key ed25519.PrivateKey, parts ...string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(strings.Join(parts, "\n"))))
}
