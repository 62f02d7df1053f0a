// The image's name in all that is generated: nobody's, until one is published. A command that is copied as it stands then finds nothing,
// never a stranger's image. Whoever builds one names theirs.

export const IMAGE = 'registry.example.com/yours/sidegate'
