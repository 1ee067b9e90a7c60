// Package alerts is the catalogue of everything a gateway can complain of: the
// code in the topic `alert/<code>`, the level, the texts in Indonesian and
// English, the threshold where it comes from numbers, and whether the gateway
// could not do its work meanwhile, which then is a line of the evidence sheet.
//
// It exists so that all of this is said once. Who raises an alert names a Kind
// and fills in what the texts leave open; nothing else in the gateway makes an
// alert, and nothing takes a code to pieces to learn what it is about.
//
// To add an alert:
//
//  1. In catalogue.go add a Kind to the constants, and its row to the table in the
//     file of what it is about: readers.go, journal.go, line.go, time.go,
//     certificates.go, machine.go or documents.go. Several kinds may share a code:
//     the same complaint at another level or in other words. A code with <name> in
//     it is a family of codes, one for each thing that the alert is about.
//  2. Let it be raised. What a number of the health document shows is a row of the
//     tables in package health (thresholds.go); all else is raised with
//     Kind.Raise(values, names...) among the conditions of its part of package
//     gateway, such as boardConditions.
//  3. Add the code to the schema alertCode in scripts/city/asyncapi.yaml and to
//     the table in scripts/INSTALL.md. A test holds both against the catalogue.
//
// The package knows nothing of the gateway's other rooms.
package alerts
