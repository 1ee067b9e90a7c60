package city

import (
	"encoding/json"
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
	gateway, ok := strings.CutSuffix(topic, "/time/request")
	if !ok || strings.Count(gateway, "/") != 3 || !strings.HasPrefix(gateway, "presence/v1/") {
		return "", nil, false
	}
	var asked struct {
		TX string `json:"tx"`
	}
	if len(question) > 4*maxTX || json.Unmarshal(question, &asked) != nil || asked.TX == "" || len(asked.TX) > maxTX {
		return "", nil, false
	}
	answer, err := json.Marshal(struct {
		TX  string `json:"tx"`
		UTC string `json:"utc"`
	}{asked.TX, utc.UTC().Format(time.RFC3339Nano)})
	return gateway + "/time/reply", answer, err == nil
}
