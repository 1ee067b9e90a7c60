package city

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Responder answers gateways that ask for the time. It belongs on a machine whose
// clock is disciplined, as close to the broker as can be.
type Responder struct {
	Broker string      // tls://host:port
	TLS    *tls.Config // nil for tcp://
	Now    func() time.Time
	Key    ed25519.PrivateKey // the city's, to sign with; nil: gateways without city.key_file alone believe it
	// Report, if set, is told what the line does.
	Report func(what string)
}

// subscribeWait is how long a broker has to grant the subscription.
const subscribeWait = 10 * time.Second

// Run answers until the context ends. It comes back by itself when the broker
// does; only a broker that does not grant the subscription ends it.
func (r Responder) Run(ctx context.Context) error {
	denied := make(chan error, 1)
	report := r.Report
	if report == nil {
		report = func(string) {}
	}
	answer := func(c mqtt.Client, m mqtt.Message) {
		if reply, payload, ok := AnswerTimeSigned(m.Topic(), m.Payload(), r.Now(), r.Key); ok && !m.Retained() {
			c.Publish(reply, 0, false, payload)
		}
	}
	o := mqtt.NewClientOptions().AddBroker(r.Broker).SetTLSConfig(r.TLS).
		SetClientID("clock").SetCleanSession(true).
		SetAutoReconnect(true).SetConnectRetry(true).
		SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(time.Minute).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { report(fmt.Sprintf("the line is lost: %v", err)) }).
		SetOnConnectHandler(func(c mqtt.Client) {
			t := c.Subscribe(TimeRequests, 0, answer)
			go func() {
				if !t.WaitTimeout(subscribeWait) {
					return // the line is lost, and comes back
				}
				granted, ok := t.(*mqtt.SubscribeToken)
				if t.Error() == nil && ok && granted.Result()[TimeRequests] != refused {
					report("answering gateways on " + r.Broker)
					return
				}
				select {
				case denied <- fmt.Errorf("subscribe to %s: the broker does not allow it", TimeRequests):
				default:
				}
			}()
		})
	c := mqtt.NewClient(o)
	c.Connect()
	defer c.Disconnect(100) // milliseconds
	select {
	case err := <-denied:
		return err
	case <-ctx.Done():
		return nil
	}
}

// refused is the code of a SUBACK for what is not granted (MQTT 3.1.1, 3.9.3).
const refused = 0x80
