package keysource

import (
	"context"
	"errors"
	"fmt"
)

// ErrTemporary marks failures of a key server that are worth another try at once.
var ErrTemporary = errors.New("the key server did not answer")

// HTTPRequest is a question to a key server.
type HTTPRequest struct {
	// Method is GET or POST. URL is absolute.
	Method, URL string
	// Header holds fields by their canonical name.
	Header map[string]string
	Body   []byte
}

// HTTPResponse is an answer, whatever its status.
type HTTPResponse struct {
	Status int
	// Header holds the first value of each field, by canonical name.
	Header map[string]string
	Body   []byte
}

// Transport carries questions to key servers. It adds credentials, bounds time and size, follows no redirects, and verifies who
// answers. Its errors name neither URL nor credentials. Implementations are safe for concurrent use.
type Transport interface {
	Do(ctx context.Context, r HTTPRequest) (HTTPResponse, error)
}

// Exchange sends r and returns the body of the answer if its status is 200. 404 and 410 are ErrUnknownKey; what may be over
// soon is ErrTemporary, also of a transport that fails; all else means that the key server does not want us. The body of a refusal is not
// repeated, since it may hold anything.
func Exchange(ctx context.Context, t Transport, r HTTPRequest) (HTTPResponse, error) {
	response, err := t.Do(ctx, r)
	if err != nil {
		return HTTPResponse{}, fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrTemporary, err)
	}
	switch status := response.Status; {
	case status == 200:
		return response, nil
	case status == 404 || status == 410:
		return HTTPResponse{}, fmt.Errorf("%w: the key server answered with status %d", ErrUnknownKey, status)
	case status == 408 || status == 425 || status == 429 || status >= 500:
		return HTTPResponse{}, fmt.Errorf("%w: %w: status %d", ErrUnavailable, ErrTemporary, status)
	default:
		return HTTPResponse{}, fmt.Errorf("%w: the key server answered with status %d", ErrUnavailable, status)
	}
}
