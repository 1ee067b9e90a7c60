package beacon

import "google.golang.org/protobuf/encoding/protowire"

// A radio that nobody has set up for a region, as it comes from the factory, neither
// sends nor hears (LoRaConfig.region 0, UNSET), and answers everything else as if all
// were well. The list of nodes does not say so, and the dump of all settings that does
// brings the keys of its channels too. Therefore it is asked for its LoRa settings alone,
// after each list, as Meshtastic's own programs ask a radio on a cable: by an admin
// message to the radio's own number. Such a packet stays inside (Router::sendLocal,
// "no need to deliver externally"), and has no key in it or in its answer. A radio with
// security.is_managed does not answer.
//
// Which region is the right one depends on the country and on the tags: of a radio that
// is set up for any, nothing is said here.

const (
	// The kind of settings that is asked for (AdminMessage.ConfigType LORA_CONFIG), and
	// where it is in the answer (Config.lora).
	loraSettings       = 5
	loraSettingsAnswer = 6

	getConfigRequest  = 5 // of AdminMessage
	getConfigResponse = 6
)

// askRegion asks the radio for its region, if it has told who it is.
func (m *meshtastic) askRegion(say func(message []byte) error) error {
	self := m.self.Load()
	if self == 0 {
		return nil
	}
	return say(wantRegion(self))
}

// wantRegion is a ToRadio with a packet that asks the radio with this node number for
// its LoRa settings.
func wantRegion(self uint32) []byte {
	var request, data, packet, message []byte
	request = protowire.AppendTag(request, getConfigRequest, protowire.VarintType)
	request = protowire.AppendVarint(request, loraSettings)
	data = protowire.AppendTag(data, 1, protowire.VarintType) // portnum
	data = protowire.AppendVarint(data, portAdmin)
	data = protowire.AppendTag(data, 2, protowire.BytesType) // payload
	data = protowire.AppendBytes(data, request)
	data = protowire.AppendTag(data, 3, protowire.VarintType) // want_response
	data = protowire.AppendVarint(data, 1)
	packet = protowire.AppendTag(packet, 2, protowire.Fixed32Type) // to
	packet = protowire.AppendFixed32(packet, self)
	packet = protowire.AppendTag(packet, 4, protowire.BytesType) // decoded
	packet = protowire.AppendBytes(packet, data)
	message = protowire.AppendTag(message, 1, protowire.BytesType) // packet
	return protowire.AppendBytes(message, packet)
}

// takeSettings takes the answer to it.
func (m *meshtastic) takeSettings(admin []byte) {
	if region, ok := parseRegion(admin); ok && region == 0 {
		m.opt.Reject(BadRegion)
	}
}

// parseRegion returns LoRaConfig.region of an AdminMessage that brings it. A number that
// is 0 is left out.
func parseRegion(admin []byte) (region uint64, found bool) {
	ok := eachField(admin, func(f field) bool {
		if f.num != getConfigResponse {
			return true
		}
		return eachField(f.bytes, func(config field) bool {
			if config.num != loraSettingsAnswer {
				return true
			}
			found = true
			return eachField(config.bytes, func(lora field) bool {
				if lora.num == 7 {
					region = lora.n
					return lora.typ == protowire.VarintType
				}
				return true
			})
		})
	})
	return region, ok && found
}
