// Package conf writes the configuration of three nats-servers that are the city's broker,
// from what a mosquitto would go by: the authority's folder (ca.sh) and gatewayd.acl.
//
// It exists because NATS has no patterns in its permissions and reads no list of revoked
// certificates: every gateway has to be named, with the keys that it may show. So the
// files are written anew whenever the authority has signed a new gateway or taken a
// certificate back.
package conf
