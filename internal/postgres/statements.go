package postgres

import "container/list"

// statementCacheSize bounds the prepared statements of one connection. The program has fewer texts than this; the
// bound is there for texts that are composed, such as lists of placeholders.
const statementCacheSize = 200

// statementCache holds the prepared statements of one connection by their text, and knows which was not used for the
// longest time. It closes nothing itself.
type statementCache struct {
	capacity int
	byText   map[string]*list.Element
	byUse    *list.List // of *cachedStatement, the last used in front
}

type cachedStatement struct {
	text      string
	statement pqStmt
}

func newStatementCache(capacity int) *statementCache {
	return &statementCache{capacity: capacity, byText: make(map[string]*list.Element), byUse: list.New()}
}

// get returns the statement with this text, nil when there is none.
func (s *statementCache) get(text string) pqStmt {
	element, ok := s.byText[text]
	if !ok {
		return nil
	}
	s.byUse.MoveToFront(element)
	return element.Value.(*cachedStatement).statement
}

// makeRoom takes out the statement that was not used for the longest time when the cache is full, and returns nil
// when it is not.
func (s *statementCache) makeRoom() pqStmt {
	if s.byUse.Len() < s.capacity {
		return nil
	}
	oldest := s.byUse.Back().Value.(*cachedStatement)
	s.remove(oldest.text)
	return oldest.statement
}

// put adds a statement whose text is not in the cache.
func (s *statementCache) put(text string, statement pqStmt) {
	s.byText[text] = s.byUse.PushFront(&cachedStatement{text: text, statement: statement})
}

// remove takes out the statement with this text, if there is one.
func (s *statementCache) remove(text string) {
	if element, ok := s.byText[text]; ok {
		s.byUse.Remove(element)
		delete(s.byText, text)
	}
}
