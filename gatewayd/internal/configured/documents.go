package configured

import "presence/config"

// The retained topics of the city's documents, behind the gateway's prefix.
const (
	TopicRoster       = "roster"
	TopicHours        = "policy/hours"
	TopicBadgeRevoked = "badge-revoked"
	TopicBadgeKeys    = "badge-keys"
)

// DocumentTopics are the topics of the documents that a gateway reads: none where the city
// has no key here to sign them with, and no roster where no badge has a name that it could
// mean.
func DocumentTopics(cfg *config.Config) []string {
	if cfg.City.KeyFile == "" {
		return nil
	}
	topics := []string{TopicBadgeKeys, TopicBadgeRevoked, TopicHours}
	if cfg.Badges.KeyFile != "" || cfg.Badges.PlainUID {
		topics = append(topics, TopicRoster)
	}
	return topics
}
