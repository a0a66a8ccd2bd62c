// Decoding a google.protobuf.Struct assigns its keys one by one, and assigning "__proto__" sets the object's prototype
// instead of a key: a plugin's configuration would lose it without a word. Without the accessor it is a key like any
// other, which the rules can see and refuse. The same as node --disable-proto=delete, for the whole process.
Reflect.deleteProperty(Object.prototype, "__proto__");
