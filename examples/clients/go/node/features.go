package node

import (
	configv1 "holdfast.example/clients/gen/holdfast/config/v1"
	syncv1 "holdfast.example/clients/gen/holdfast/sync/v1"
)

// features is what this node can apply: every kind that its generated code knows. It runs no plugins, and says so:
// "config/fail-route" has it sent states with plugins all the same, and it must not pass requests through such routes.
func features() []*syncv1.Feature {
	found := []*syncv1.Feature{
		{Name: "config/fail-route", Version: 1},
		{Name: "sync/bucket-batch", Version: 1},
	}
	kinds := (&configv1.Resource{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		found = append(found, &syncv1.Feature{Name: "kind/" + string(kinds.Get(i).Name()), Version: 1})
	}
	return found
}
