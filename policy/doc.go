// Package policy decides whether a viewer may have an asset. It puts the access token, the geo rule, the rights and the limits in one fixed
// order, because that order is a security property: who is not authenticated learns nothing about countries and uses up nobody's
// rate.
//
// A refusal is a Decision with a Reason, never an error. What could not be decided is refused.
package policy
