package incident

// SelectSession is shown to the test that holds its plan.
const SelectSession = selectSession
