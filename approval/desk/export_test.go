package desk

// UsedBy is the proposal that an act's event was approved by.
var UsedBy = usedBy
