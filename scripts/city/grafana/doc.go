// Package grafana holds what a city's Grafana is provisioned with: its data sources and
// its dashboards. GRAFANA.md says how they are installed.
//
// It has no code. Its tests check the dashboards by Grafana's own schema, and ask a real
// database each of their questions, as the role that is to see the answer.
package grafana
