// The image's name in all generated text: nobody's, until an image is published. A command copied unchanged
// then finds nothing, never a stranger's image. Builders of an image put their own name here.

export const IMAGE = 'registry.example.com/yours/sidegate'

/** No registry has it. */
export const isPlaceholder = IMAGE.startsWith('registry.example.com/')
