from lem_pipeline.cli.app import main

main()
