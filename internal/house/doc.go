// Package house holds the test that keeps the imports of the module running one way. It has no code of its own.
package house
