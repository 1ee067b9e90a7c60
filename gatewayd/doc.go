// Command gatewayd is the presence gateway of one department: it reads badges
// at the door and the beacons of GPS tags, records both durably, and hands them
// to the city over MQTT.
//
// This package holds the commands, one file each, and nothing that runs. A running
// gateway is wired in internal/gateway; what it does lives in the other packages
// under internal/, which are called rooms, and the hardware in drivers/.
//
// # The road
//
// Data goes one way, from the hardware to the city:
//
//	at the door                        in the yard
//
//	card                               tag
//	  |  scan of the field               |  frames over a radio
//	drivers/mfrc522, drivers/pn532     drivers/serial, drivers/beacon
//	  |  cards in the field              |  fix
//	internal/door                      internal/tags
//	  |  tap                             |  sighting
//	  +-----------------+----------------+
//	                    v
//	             internal/journal  -- durable -->  the lamp turns green
//	                    |      ^
//	             entry  |      |  delivered: the cursor moves
//	                    v      |
//	             internal/uplink
//	                    |      ^
//	event, over MQTT    |      |  PUBACK from the broker, receipt from the city
//	                    v      |
//	               broker and city
//
// Only two words travel back: "durable", which turns the lamp green, and
// "delivered", which lets the journal remove an event once it is old or its space is
// needed. A room reaches another one only through a small interface that it declares
// itself, such as door.Journal and door.Lamp, and that the wiring fulfils. Beside the
// road lie internal/clock, which says when each event happened, internal/staff, which
// reads the journal and records who is where,
// internal/health with internal/alerts and internal/outage, which say what does not
// work, and internal/control, over which the commands ask the gateway that runs.
//
// # The words
//
// Each word has one meaning in names, comments and documents. Three have a second one
// within a few packages: room is a package, and in journal and uplink also the space
// that is left; position is one of the journal's, and in beacon and tags also the place
// of a tag, as the documents of the radios call it; a fix is a place that was decoded,
// and the field fix of an event, which the city knows by that name, its freshness.
//
// What is recorded:
//
//   - event: what the gateway tells the city: that a badge was shown, a tag heard, a
//     person's whereabouts changed, a stream begun, or records lost. On the wire it is
//     one JSON object, whose id is its stream and seq.
//   - draft: what a room wants recorded (presence.Draft).
//   - record: a draft that has got its stream and seq: durable, never changed
//     (presence.Record). It holds no time, but a reading of the clocks.
//   - entry: a record and its position (presence.Entry).
//   - stream, seq: the numbering of events. Each opening of the journal begins a new
//     stream (a UUID), within which the events are numbered from 1 without holes. So a
//     restart begins one, and a reload that has changed something. What was recorded
//     in earlier streams keeps their numbers.
//   - position: the place of an entry in the journal, counted over all streams. It
//     rises with time, is never used twice, and never leaves the gateway.
//   - hole: positions that hold no record any more. A gap says what was lost with
//     them, unless it had been delivered.
//   - gap: the event that says which seqs are missing, and why: there was no space, the
//     file was damaged, a person was forgotten. It also says how many events were
//     refused before they had a seq.
//   - to forget: to remove a person's records for good, on request.
//
// How it is delivered:
//
//   - PUBACK: the broker's confirmation that it has taken a message (MQTT 3.1.1,
//     section 3.4).
//   - receipt: the city's own confirmation, which is signed where the city has a key.
//   - delivered: confirmed by a receipt where the configuration asks for receipts, and
//     by a PUBACK where it does not.
//   - cursor: the position up to which everything is delivered. What lies behind it is
//     sent again after a loss of the connection.
//   - line, connection: the line is the way to the broker, whether it works or not; a
//     connection goes from one CONNECT to its end.
//   - session: one run of a gateway as the city knows it (a UUID in status and info). A
//     restart or a reload that has changed something begins one, together with a new
//     stream. It numbers nothing and is not kept: events do not name it, and nothing
//     of it outlives the run.
//
// When it happened:
//
//   - boot: one run of the kernel, known by its boot id.
//   - reading: one look at all clocks at the same instant: boot id, time since the
//     boot (CLOCK_BOOTTIME), wall clock, and what that is worth (presence.Reading).
//   - anchor: a reading whose true time is known, within an error.
//   - timing: when an event happened, as well as it is known: a time in UTC with its
//     quality and the bounds of its error (presence.Timing). It is computed from
//     readings and anchors, and gets better when more of those are known.
//   - revision: the timing of an event as it was last published, or shown in an
//     export. Its number is rev, from 0.
//   - correction: a revision with a rev above 0. It is published under the id that the
//     event had before, until the broker has acknowledged it.
//
// At the door:
//
//   - card, UID: what a reader finds in its field, and the number that it shows.
//   - badge: a person's card. Events name it by its identity, a hash under the gateway's
//     own key of the UID, or of the GUID in a PIV card's certificate.
//   - proof: that a card's key has answered a challenge of this very tap. assurance: what a
//     card has shown, from its number to a signature. claim: an identity that a card
//     names and has not proven.
//   - scan: one pass of a driver over the field of its reader.
//   - tap: a badge is shown. It is answered by the lamp: accepted (green, recorded),
//     repeat (recorded already: the badge had not been away for the repeat window) or
//     refused (red, not recorded).
//
// In the yard:
//
//   - tag: a GPS beacon that somebody carries; receiver: what hears it.
//   - fix: one place of a tag, decoded from a frame (beacon.Fix). Its freshness
//     (presence.Freshness) tells whether it is live, a replay (an older
//     one, sent again), or unknown.
//   - sighting: a fix that counts: within the working hours, not heard before, and
//     worth recording.
//   - zone, fence: a tag is inside, outside or uncertain with regard to the fence, the
//     border of the office.
//   - track: what the last fixes of a tag say together of its zone.
//
// What the city decides:
//
//   - roster: which tag belongs to which badge, and what that must show. No names.
//   - hours: when tag data may be recorded at all.
//   - signed document: a roster or hours with the city's signature and a serial. The
//     one with the highest serial is in force.
//   - certificate: what the gateway and the broker show each other (X.509).
//
// What does not work:
//
//   - condition: something that is not as it should be, at this moment.
//   - alert: a condition as the city and the technician are told of it: a code, a
//     level, and a text in two languages. It ends with the condition.
//   - outage: a stretch of time in which something did not work. It is kept, since
//     somebody may have been unable to tap then.
//   - sheet: the recap of one day, for disputes about pay: first and last tap of each
//     badge, outages and gaps.
//   - task: a part of the gateway that runs on its own, such as a reader; it is
//     started again when it fails. Its pulse shows that it does not hang.
//
// Verbs: a driver scans and decodes; a room observes what another tells it, classifies
// and evaluates it, and decides; the journal accepts or refuses; the uplink publishes;
// the broker and the city acknowledge.
package main
