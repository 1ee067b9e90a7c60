package database

// MigrateTo lets the tests have an earlier version.
var MigrateTo = migrateTo
