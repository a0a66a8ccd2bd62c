package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	configv1 "holdfast.example/clients/gen/holdfast/config/v1"
	syncv1 "holdfast.example/clients/gen/holdfast/sync/v1"
	"holdfast.example/clients/node"
)

// prepare reads all of a state before it is served: what cannot be read is refused.
func prepare(served *node.Served) (violations []*syncv1.Violation) {
	for entry := range served.State.Entries() {
		if err := proto.Unmarshal(entry.Value, &configv1.Resource{}); err != nil {
			violations = append(violations, &syncv1.Violation{Key: entry.Key, Reason: err.Error()})
		}
		if len(violations) == 64 {
			break
		}
	}
	return violations
}

// printRoutes is what a real data plane would compile a router from.
func printRoutes(served *node.Served) {
	services := map[string]*configv1.Service{}
	var routes []*configv1.Route
	for entry := range served.State.Entries() {
		resource := &configv1.Resource{}
		if proto.Unmarshal(entry.Value, resource) != nil {
			continue
		}
		if service := resource.GetService(); service != nil {
			services[service.Id] = service
		}
		if route := resource.GetRoute(); route != nil {
			routes = append(routes, route)
		}
	}
	slices.SortFunc(routes, func(a, b *configv1.Route) int { return strings.Compare(a.Name+a.Id, b.Name+b.Id) })
	cursor := served.Cursor
	fmt.Printf("revision %d, root %s, %d entries\n", cursor.Revision, cursor.Root, served.State.Count())
	for _, route := range routes {
		target := "no service"
		if service := services[route.GetService().GetId()]; service != nil {
			target = fmt.Sprintf("%s://%s:%d%s", service.GetProtocol(), service.GetHost(), service.GetPort(), service.GetPath())
		}
		fmt.Printf("  route %s: %s -> %s\n", route.Name, strings.Join(slices.Concat(route.Methods, route.Hosts, route.Paths), " "), target)
	}
}
