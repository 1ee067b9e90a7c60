package config

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

// maxFile is the largest file that a configuration may name, in bytes.
const maxFile = 8 << 20

// checkFiles looks at the files that the configuration names, but for the fence's and
// the roster's, and reads the keys.
func (d *document) checkFiles(c *Config) {
	d.checkKeys(c)
	d.checkOwnCertificate(c)
	if _, err := c.Badges.readCA(); err != nil {
		d.root.table("badges").problem("ca_file", "%v", err)
	}
}

// checkKeys looks at the files that no gateway runs without, and reads the keys.
func (d *document) checkKeys(c *Config) {
	c.FilesDigest = c.digestFiles()
	badges, mqtt := d.root.table("badges"), d.root.table("mqtt")

	if data, ok := badges.read("key_file", c.Badges.KeyFile); ok {
		key, err := parseKey(data)
		if err != nil {
			badges.problem("key_file", "%s: %v", show(c.Badges.KeyFile), err)
		}
		c.Badges.Key = key
	}

	city := d.root.table("city")
	if data, ok := city.read("key_file", c.City.KeyFile); ok {
		key, err := parsePublicKey(data)
		if err != nil {
			city.problem("key_file", "%s: %v", show(c.City.KeyFile), err)
		}
		c.City.Key = key
	}

	if data, ok := mqtt.read("ca_file", c.MQTT.CAFile); ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
		mqtt.problem("ca_file", "%s holds no certificate%s: put the certificate of the city's CA there, in PEM form", show(c.MQTT.CAFile), whatInstead(data))
	}
	if c.MQTT.PasswordFile != "" {
		if _, err := c.MQTT.Password(); err != nil {
			mqtt.problem("password_file", "%v", err)
		}
	}
}

// awaitsCertificate reports whether the gateway has its key, and nothing is where its
// certificate will be.
func (m *MQTT) awaitsCertificate() bool {
	if m.CertFile == "" || m.KeyFile == "" {
		return false
	}
	_, certificate := os.Stat(m.CertFile)
	_, key := os.Stat(m.KeyFile)
	return errors.Is(certificate, fs.ErrNotExist) && key == nil
}

// checkOwnCertificate looks at the gateway's own certificate and its key.
func (d *document) checkOwnCertificate(c *Config) {
	mqtt := d.root.table("mqtt")
	cert, ok1 := mqtt.read("cert_file", c.MQTT.CertFile)
	if ok1 && !hasBlock(cert, func(kind string) bool { return kind == "CERTIFICATE" }) {
		mqtt.problem("cert_file", "%s holds no certificate%s: put this gateway's certificate there, in PEM form", show(c.MQTT.CertFile), whatInstead(cert))
		ok1 = false
	}
	key, ok2 := mqtt.read("key_file", c.MQTT.KeyFile)
	if ok2 && !hasBlock(key, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") && kind != encryptedKey }) {
		mqtt.problem("key_file", "%s holds no private key%s: put the key of this gateway's certificate there, in PEM form and without a passphrase", show(c.MQTT.KeyFile), whatInstead(key))
		ok2 = false
	}
	if ok1 && ok2 {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			mqtt.problem("cert_file", "does not go with key_file: %s", oneLine(strings.TrimPrefix(err.Error(), "tls: ")))
		}
	}
}

// checkFence looks at the fence's file.
func (d *document) checkFence(c *Config) {
	if c.Office == nil {
		return
	}
	office := d.root.table("office")
	if data, ok := office.read("fence_file", c.Office.FenceFile); ok {
		if err := checkFence(data); err != nil {
			office.problem("fence_file", "%s: %v", show(c.Office.FenceFile), err)
		}
	}
}

// encryptedKey is the PEM type of a private key under a passphrase (RFC 7468,
// section 11).
const encryptedKey = "ENCRYPTED PRIVATE KEY"

// hasBlock reports whether PEM text has a block of a type.
func hasBlock(data []byte, is func(kind string) bool) bool {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return false
		}
		if is(block.Type) {
			return true
		}
		data = rest
	}
}

// whatInstead tells what a file that should be PEM is instead, where that is known.
func whatInstead(data []byte) phrase {
	if mark, there := byteOrderMark(data); there {
		return say(" that can be read, as it %s", mark)
	}
	if block, _ := pem.Decode(data); block != nil {
		return say(" but a %s", oneLine(brief(block.Type)))
	}
	return phrase{}
}

// utf8Mark is what Windows' Notepad puts before UTF-8 text.
var utf8Mark = []byte("\xef\xbb\xbf")

// byteOrderMark tells which byte order mark a text begins with, as Windows puts there;
// false where there is none.
func byteOrderMark(data []byte) (mark phrase, there bool) {
	switch {
	case bytes.HasPrefix(data, utf8Mark):
		return say("begins with a byte order mark: save it as UTF-8 without BOM"), true
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return say("is UTF-16: save it as UTF-8 without BOM"), true
	}
	return phrase{}, false
}

// digestFiles is the digest of all files that the configuration names: the values
// of the keys that end in "_file", so that none can be forgotten here.
func (c *Config) digestFiles() string {
	all := sha256.New()
	add := func(part []byte) {
		_ = binary.Write(all, binary.BigEndian, uint64(len(part))) // a hash takes everything
		all.Write(part)
	}
	for _, path := range namedFiles(reflect.ValueOf(*c)) {
		data, err := readFile(path)
		if err != nil {
			data = []byte(err.Error()) // which may become another error, or none
		}
		add([]byte(path))
		add(data)
	}
	return hex.EncodeToString(all.Sum(nil))
}

// namedFiles are the values of all keys of a part of the configuration that name
// a file.
func namedFiles(part reflect.Value) (paths []string) {
	for part.Kind() == reflect.Pointer && !part.IsNil() {
		part = part.Elem()
	}
	if part.Kind() != reflect.Struct {
		return nil
	}
	for i := range part.NumField() {
		key := part.Type().Field(i).Tag.Get("toml")
		value := part.Field(i)
		switch {
		case key == "":
		case strings.HasSuffix(key, "_file") && value.Kind() == reflect.String:
			if value.String() != "" {
				paths = append(paths, value.String())
			}
		default:
			paths = append(paths, namedFiles(value)...)
		}
	}
	return paths
}

// read reads the file of a key, or reports why it can not. Without a path
// there is nothing to read.
func (t *table) read(key, path string) ([]byte, bool) {
	if path == "" {
		return nil, false
	}
	data, err := readFile(path)
	if err != nil {
		t.problem(key, "%v", err)
		return nil, false
	}
	return data, true
}

// readFile reads an ordinary file of bounded size. Anything else, such as a
// pipe, could block for ever.
func readFile(path string) ([]byte, error) {
	advice := say("put the file there, or correct the path")
	info, err := os.Stat(path)
	if err != nil {
		return nil, say("%s cannot be read (%v): %s", show(path), withoutPath(err), advice)
	}
	if !info.Mode().IsRegular() {
		return nil, say("%s is no ordinary file: %s", show(path), advice)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, say("%s cannot be read (%v): let the gateway's user read it", show(path), withoutPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, say("%s cannot be read: %v", show(path), withoutPath(err))
	}
	if len(data) > maxFile {
		return nil, say("%s is larger than %d bytes: %s", show(path), maxFile, advice)
	}
	return data, nil
}

// ReadKey reads the badge key for a caller that loaded the configuration without its
// files. Without a key file there is none, which is no error.
func (b *Badges) ReadKey() error {
	if b.KeyFile == "" {
		return nil
	}
	data, err := readFile(b.KeyFile)
	if err != nil {
		return err
	}
	if b.Key, err = parseKey(data); err != nil {
		return say("%s %v", show(b.KeyFile), err)
	}
	return nil
}

// ReadKey reads the city's public key for a caller that loaded the configuration without
// its files. Without a key file there is none, which is no error.
func (c *City) ReadKey() error {
	if c.KeyFile == "" {
		return nil
	}
	data, err := readFile(c.KeyFile)
	if err != nil {
		return err
	}
	if c.Key, err = parsePublicKey(data); err != nil {
		return say("%s: %v", show(c.KeyFile), err)
	}
	return nil
}

// parseKey reads a badge key: 64 hex digits on one line. The error
// never repeats any of it.
func parseKey(data []byte) (*[32]byte, error) {
	var key [32]byte
	if mark, there := byteOrderMark(data); there {
		return nil, mark
	}
	text := bytes.TrimSpace(data)
	if len(text) != hex.EncodedLen(len(key)) {
		return nil, say("has %d characters: the badge key is 64 hex digits on one line", len(text))
	}
	if _, err := hex.Decode(key[:], text); err != nil {
		return nil, say("has characters that are no hex digits: the badge key is 64 hex digits on one line")
	}
	return &key, nil
}

// parsePublicKey reads the city's Ed25519 public key: PEM as openssl writes it
// (SubjectPublicKeyInfo, RFC 8410), or its 32 bytes in base64.
func parsePublicKey(data []byte) (ed25519.PublicKey, error) {
	advice := say("put the city's public key there (openssl pkey -in city.key -pubout)")
	if mark, there := byteOrderMark(data); there {
		return nil, mark
	}
	block, _ := pem.Decode(data)
	switch {
	case block == nil:
		key, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(data)))
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, say("is no public key: %s", advice)
		}
		return key, nil
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, say("is the PRIVATE key, which must not leave the city: delete it here and %s", advice)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, say("is no public key: %s", advice)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, say("is a key of another kind than Ed25519: make the city's key with openssl genpkey -algorithm ed25519")
	}
	return key, nil
}

// Password reads the broker's password: the file without the line break at its
// end. It is "" where no file is named.
func (m MQTT) Password() (string, error) {
	if m.PasswordFile == "" {
		return "", nil
	}
	data, err := readFile(m.PasswordFile)
	if err != nil {
		return "", err
	}
	if mark, there := byteOrderMark(data); there {
		return "", say("%s %s", show(m.PasswordFile), mark)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return "", say("%s is empty: put the broker's password there", show(m.PasswordFile))
	}
	if strings.ContainsAny(password, "\r\n\x00") {
		return "", say("%s has more than one line: put the broker's password there, alone", show(m.PasswordFile))
	}
	// MQTT counts the password's bytes in 16 bits (MQTT 3.1.1, section 3.1.3.5).
	if len(password) > 0xffff {
		return "", say("%s is longer than 65535 bytes: put the broker's password there, alone", show(m.PasswordFile))
	}
	return password, nil
}

// checkFence makes sure that a file is GeoJSON of a kind that can hold a fence
// (RFC 7946). The polygons themselves are checked where the fence is made.
func checkFence(data []byte) error {
	var object struct {
		Type string `json:"type"`
	}
	data = bytes.TrimPrefix(data, utf8Mark)
	if err := json.Unmarshal(data, &object); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return say("is no GeoJSON (there is a JSON %s where none belongs): export the office's outline as GeoJSON", wrong.Value)
		}
		return say("is no GeoJSON (%s): export the office's outline as GeoJSON", oneLine(err.Error()))
	}
	switch object.Type {
	case "Polygon", "MultiPolygon", "Feature", "FeatureCollection":
		return nil
	}
	return say("is GeoJSON of type %s: a fence is a Polygon or a MultiPolygon", show(object.Type))
}
