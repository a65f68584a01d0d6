use clap::ValueEnum;
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Part {
    Tidy,
}
pub(crate) fn test(_part: Option<Part>) -> anyhow::Result<()> {
    Ok(())
}
